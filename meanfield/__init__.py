"""meanfield: derive the infinite-width equations of a random network, compute their numbers, check them against
networks.

    import meanfield as mf
    block = mf.tanh >> mf.Dense(weight_var=1.5, bias_var=0.05)
    mf.derive(block), mf.phase(block), mf.check(block)

weight_var is the variance of a weight times its fan-in (sigma_w^2), bias_var is sigma_b^2; p, q are variances, k is a
covariance. Nothing is imported before it is used: no SymPy until something is derived, no numba until something is
solved.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meanfield import sklearn as sklearn
    from meanfield import torch as torch
    from meanfield.attention_law import AttentionLaw as AttentionLaw
    from meanfield.attention_law import attention_law as attention_law
    from meanfield.batchnorm import BatchGrowth as BatchGrowth
    from meanfield.batchnorm import batchnorm as batchnorm
    from meanfield.check import Verdict as Verdict
    from meanfield.check import check as check
    from meanfield.convolution import SpatialModes as SpatialModes
    from meanfield.convolution import delta_orthogonal as delta_orthogonal
    from meanfield.convolution import spatial_covariance as spatial_covariance
    from meanfield.convolution import spatial_modes as spatial_modes
    from meanfield.coordinate import CoordinateCheck as CoordinateCheck
    from meanfield.coordinate import CoordinateSlope as CoordinateSlope
    from meanfield.coordinate import coordinate_check as coordinate_check
    from meanfield.diagram import PhaseDiagram as PhaseDiagram
    from meanfield.diagram import phase_diagram as phase_diagram
    from meanfield.dual import Dual as Dual
    from meanfield.dual import GaussianMean as GaussianMean
    from meanfield.dual import dual as dual
    from meanfield.dual import hermite_coefficients as hermite_coefficients
    from meanfield.dual import mean as mean
    from meanfield.edge import Critical as Critical
    from meanfield.edge import edge_of_chaos as edge_of_chaos
    from meanfield.empirical import empirical_kernel as empirical_kernel
    from meanfield.finite import Sample as Sample
    from meanfield.finite import sample as sample
    from meanfield.fourier_init import FourierInit as FourierInit
    from meanfield.fourier_operator import FourierOperator as FourierOperator
    from meanfield.fourier_operator import fourier_operator as fourier_operator
    from meanfield.grid_covariance import grid_covariance as grid_covariance
    from meanfield.init import InitScale as InitScale
    from meanfield.init import init_scale as init_scale
    from meanfield.isometry import SingularValues as SingularValues
    from meanfield.isometry import lyapunov_exponents as lyapunov_exponents
    from meanfield.isometry import singular_values as singular_values
    from meanfield.kernels import kernel as kernel
    from meanfield.lag_covariance import lag_covariance as lag_covariance
    from meanfield.pages.parts import Report as Report
    from meanfield.pages.report import report as report
    from meanfield.phase import Phase as Phase
    from meanfield.phase import phase as phase
    from meanfield.plot import plot as plot
    from meanfield.predict import Posterior as Posterior
    from meanfield.predict import predict as predict
    from meanfield.rigorous import Ball as Ball
    from meanfield.rigorous import NotCertified as NotCertified
    from meanfield.scaling import LayerScales as LayerScales
    from meanfield.scaling import ScalingTable as ScalingTable
    from meanfield.scaling import scaling as scaling
    from meanfield.shaped_attention import ShapedPaths as ShapedPaths
    from meanfield.shaped_attention import ShapedSDE as ShapedSDE
    from meanfield.shaped_attention import shaped_attention as shaped_attention
    from meanfield.shaped_masks import ShapedMasks as ShapedMasks
    from meanfield.shaped_masks import shaped_masks as shaped_masks
    from meanfield.shaping import Shaped as Shaped
    from meanfield.shaping import shape_activation as shape_activation
    from meanfield.spectrum import AttentionSpectrum as AttentionSpectrum
    from meanfield.spectrum import attention_spectrum as attention_spectrum
    from meanfield.stored import open_kernel as open_kernel
    from meanfield.stored import stored_kernel as stored_kernel
    from meanfield.stored_solve import StoredSolution as StoredSolution
    from meanfield.stored_solve import solve_stored as solve_stored
    from meanfield.theory import (
        Case as Case,
    )
    from meanfield.theory import (
        Prediction as Prediction,
    )
    from meanfield.theory import (
        Theory as Theory,
    )
    from meanfield.theory import (
        theories as theories,
    )
    from meanfield.theory import (
        theory as theory,
    )
    from meanfield.transformer import Transformer as Transformer
    from meanfield.transformer import transformer as transformer
    from meanfield.transformer_edge import TransformerDiagram as TransformerDiagram
    from meanfield.transformer_edge import transformer_diagram as transformer_diagram
    from meanfield.transformer_edge import transformer_edge as transformer_edge
    from meanfield.transformer_init import TransformerInit as TransformerInit
    from meanfield.transformer_init import transformer_init as transformer_init
    from meanfield.width import FiniteWidth as FiniteWidth
    from meanfield.width import finite_width as finite_width
    from solvers.iterate import NotConverged as NotConverged
    from symbolic.activations import activation as activation
    from symbolic.attention import Attention as Attention
    from symbolic.critical import NoEdge as NoEdge
    from symbolic.fourier import Spectral as Spectral
    from symbolic.fourier_block import FourierBlock as FourierBlock
    from symbolic.fourier_map import FourierMap as FourierMap
    from symbolic.fourier_map import fourier_map as fourier_map
    from symbolic.growth import Divergent as Divergent
    from symbolic.growth import NotReal as NotReal
    from symbolic.integrals import Unprintable as Unprintable
    from symbolic.limits import derive as derive
    from symbolic.networks import (
        Dense as Dense,
    )
    from symbolic.networks import (
        Dropout as Dropout,
    )
    from symbolic.networks import (
        Identity as Identity,
    )
    from symbolic.networks import (
        Layer as Layer,
    )
    from symbolic.networks import (
        LayerNorm as LayerNorm,
    )
    from symbolic.networks import (
        Pointwise as Pointwise,
    )
    from symbolic.networks import (
        RMSNorm as RMSNorm,
    )
    from symbolic.parse import ParseError as ParseError
    from symbolic.pictures import (
        AvgPool as AvgPool,
    )
    from symbolic.pictures import (
        Conv as Conv,
    )
    from symbolic.pictures import (
        Flatten as Flatten,
    )
    from symbolic.pictures import (
        GlobalAvgPool as GlobalAvgPool,
    )
    from symbolic.sequences import PositionalEncoding as PositionalEncoding
    from symbolic.signals import NoRule as NoRule
    from symbolic.tokens import token_map as token_map
    from symbolic.transformers import TransformerBlock as TransformerBlock

__version__ = "0.1.0"

_HOMES = {
    "symbolic.networks": (
        "Dense", "Dropout", "Identity", "Layer", "LayerNorm", "Pointwise", "RMSNorm",
    ),
    "symbolic.attention": ("Attention",),
    "symbolic.sequences": ("PositionalEncoding",),
    "symbolic.fourier": ("Spectral",),
    "symbolic.fourier_block": ("FourierBlock",),
    "symbolic.fourier_map": ("FourierMap", "fourier_map"),
    "symbolic.pictures": ("AvgPool", "Conv", "Flatten", "GlobalAvgPool"),
    "symbolic.signals": ("NoRule",),
    "symbolic.limits": ("derive",),
    "symbolic.parse": ("ParseError",),
    "symbolic.integrals": ("Unprintable",),
    "symbolic.critical": ("NoEdge",),
    "symbolic.activations": ("activation",),
    "symbolic.growth": ("Divergent", "NotReal"),
    "solvers.iterate": ("NotConverged",),
    "meanfield.dual": ("Dual", "GaussianMean", "dual", "hermite_coefficients", "mean"),
    "meanfield.pages.parts": ("Report",),
    "meanfield.pages.report": ("report",),
    "meanfield.phase": ("Phase", "phase"),
    "meanfield.diagram": ("PhaseDiagram", "phase_diagram"),
    "meanfield.edge": ("Critical", "edge_of_chaos"),
    "meanfield.rigorous": ("Ball", "NotCertified"),
    "meanfield.init": ("InitScale", "init_scale"),
    "meanfield.fourier_init": ("FourierInit",),
    "meanfield.convolution": ("SpatialModes", "delta_orthogonal", "spatial_covariance", "spatial_modes"),
    "meanfield.isometry": ("SingularValues", "lyapunov_exponents", "singular_values"),
    "meanfield.shaping": ("Shaped", "shape_activation"),
    "meanfield.kernels": ("kernel",),
    "meanfield.grid_covariance": ("grid_covariance",),
    "meanfield.predict": ("Posterior", "predict"),
    "meanfield.stored": ("open_kernel", "stored_kernel"),
    "meanfield.stored_solve": ("StoredSolution", "solve_stored"),
    "meanfield.empirical": ("empirical_kernel",),
    "meanfield.finite": ("Sample", "sample"),
    "meanfield.check": ("Verdict", "check"),
    "meanfield.theory": ("Case", "Prediction", "Theory", "theories", "theory"),
    "meanfield.plot": ("plot",),
    "meanfield.width": ("FiniteWidth", "finite_width"),
    "meanfield.attention_law": ("AttentionLaw", "attention_law"),
    "meanfield.transformer": ("Transformer", "transformer"),
    "meanfield.transformer_edge": ("TransformerDiagram", "transformer_diagram", "transformer_edge"),
    "meanfield.transformer_init": ("TransformerInit", "transformer_init"),
    "symbolic.tokens": ("token_map",),
    "symbolic.transformers": ("TransformerBlock",),
    "meanfield.batchnorm": ("BatchGrowth", "batchnorm"),
    "meanfield.shaped_attention": ("ShapedPaths", "ShapedSDE", "shaped_attention"),
    "meanfield.shaped_masks": ("ShapedMasks", "shaped_masks"),
    "meanfield.coordinate": ("CoordinateCheck", "CoordinateSlope", "coordinate_check"),
    "meanfield.scaling": ("LayerScales", "ScalingTable", "scaling"),
    "meanfield.spectrum": ("AttentionSpectrum", "attention_spectrum"),
    "meanfield.lag_covariance": ("lag_covariance",),
    "meanfield.fourier_operator": ("FourierOperator", "fourier_operator"),
}  # fmt: skip
_FACES = ("sklearn", "torch")  # modules, each for the users of another package, which an extra brings
_HOME = {name: module for module, names in _HOMES.items() for name in names}

ACTIVATIONS = (
    "abs", "arctan", "cos", "elu", "erf", "exp", "gaussian", "gelu", "hard_tanh", "leaky_relu", "linear", "mish", "phi",
    "relu", "selu", "sigmoid", "sign", "silu", "sin", "snake", "softplus", "step", "tanh",
)  # fmt: skip

__all__ = sorted({*_HOME, *ACTIVATIONS})


def __getattr__(name: str) -> Any:
    if name in ACTIVATIONS:
        return import_module("symbolic.activations").ACTIVATIONS[name]
    if name in _FACES:
        return import_module(f"meanfield.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'meanfield' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_FACES, "__version__"]


class _Face(ModuleType):
    """Importing the file phase.py would hide the verb mf.phase behind its module; here the verb keeps the name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
