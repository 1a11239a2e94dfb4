"""What users of PyTorch get: kernels (extra `gpytorch`), initialization, Fourier neural operators, muP (extra `torch`).

Each name is imported from its file when it is first used, so that PyTorch alone is enough for the operators.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meanfield.torch.analysis import Analysis as Analysis
    from meanfield.torch.analyze_model import analyze as analyze
    from meanfield.torch.coordinate import ModuleCheck as ModuleCheck
    from meanfield.torch.coordinate import ModuleSlope as ModuleSlope
    from meanfield.torch.coordinate import coordinate_check as coordinate_check
    from meanfield.torch.fourier import OperatorInit as OperatorInit
    from meanfield.torch.fourier import init_fno_ as init_fno_
    from meanfield.torch.initialize import init_ as init_
    from meanfield.torch.initialize_report import ModelInit as ModelInit
    from meanfield.torch.kernels import InfiniteWidthKernel as InfiniteWidthKernel
    from meanfield.torch.reference import FNO as FNO
    from meanfield.torch.reference import SpectralConv as SpectralConv
    from meanfield.torch.scale import scale_ as scale_
    from meanfield.torch.scaled import ModelScale as ModelScale
    from meanfield.torch.scaled import ParameterScale as ParameterScale
    from meanfield.torch.shapes import base_shapes as base_shapes

_HOMES = {
    "analysis": ("Analysis",),
    "analyze_model": ("analyze",),
    "coordinate": ("ModuleCheck", "ModuleSlope", "coordinate_check"),
    "fourier": ("OperatorInit", "init_fno_"),
    "initialize": ("init_",),
    "initialize_report": ("ModelInit",),
    "kernels": ("InfiniteWidthKernel",),
    "reference": ("FNO", "SpectralConv"),
    "scale": ("scale_",),
    "scaled": ("ModelScale", "ParameterScale"),
    "shapes": ("base_shapes",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'meanfield.torch' has no attribute {name!r}")
    return getattr(import_module(f"meanfield.torch.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
