"""The Fourier layers of a torch.nn.Module, found by the classes that hold them.

FNO of this package and FNOBlocks of neuraloperator know the matrix beside each layer and the activation between two.
FNOBlocks 2.0.0 computes v = R h + W h, h = phi(v), and without channel_mlp phi(phi(v)). What else owns complex weights,
or stands between the layers (channel_mlp, norm, a skip that is no matrix), is refused, or left as it is by request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from meanfield.torch.operators import (
    FourierLayer,
    Matrix,
    is_neuralop,
    is_spectral,
    join,
    label,
    matrix,
    named,
    spectral_layer,
)
from meanfield.torch.reference import FNO

BLOCKS = "FNOBlocks"


def fourier_layers(module: Any, skip: tuple[str, ...], pointwise: Mapping[str, str] | None) -> list[FourierLayer]:
    """All Fourier layers of a module, in the order in which it holds them; TypeError or ValueError for what it has
    beside them that is not understood."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"init_fno_ initializes a torch.nn.Module, not {module!r}")
    names = {name for name, _ in module.named_modules(remove_duplicate=False)}
    beside = dict(pointwise or {})
    for wanted in (*skip, *beside, *beside.values()):
        if wanted not in names:
            raise ValueError(f"{type(module).__name__} has no module {wanted!r}: names are those of named_modules()")
    search = _Search(module, skip, None if pointwise is None else beside)
    search.walk("", module, alone=True)
    unused = [name for name in beside if name not in {layer.name for layer in search.alone}]
    if unused:
        raise ValueError(
            f"pointwise names {unused[0]!r}, which is no SpectralConv that stands alone: those of FNO and of "
            "FNOBlocks have their matrices with them"
        )
    if not search.found:
        raise ValueError(
            f"{type(module).__name__} has no Fourier layer to initialize: known are FNO and SpectralConv of "
            "meanfield.torch, FNOBlocks and SpectralConv of neuraloperator"
        )
    return search.found


@dataclass(frozen=True)
class _Search:
    """Names of modules to leave, and of the matrices beside layers that stand alone (None where nothing was said)."""

    module: Any
    skip: tuple[str, ...]
    pointwise: dict[str, str] | None
    found: list[FourierLayer] = field(default_factory=list)
    alone: list[FourierLayer] = field(default_factory=list)

    def walk(self, name: str, module: Any, *, alone: bool) -> None:
        """Collect the layers in `module`; `alone` says that nothing can run beside it."""
        if _left(name, self.skip):
            return
        if type(module) is FNO:
            self.found.extend(_of_fno(name, module, self.skip))
        elif is_neuralop(module, BLOCKS):
            self.found.extend(_of_blocks(name, module, self.skip))
        elif is_spectral(module):
            self.alone.append(self._alone(name, spectral_layer(name or type(module).__name__, module), alone))
            self.found.append(self.alone[-1])
        else:
            _refuse_unknown(name, module)
            for child, part in _children(module):
                self.walk(join(name, child), part, alone=alone and isinstance(module, nn.Sequential))

    def _alone(self, name: str, layer: FourierLayer, alone: bool) -> FourierLayer:
        if self.pointwise is None and not alone:
            raise ValueError(
                f"whether a matrix acts on each position beside {name!r}, only the code around it knows: give "
                f"pointwise={{{name!r}: the name of its module}}, or pointwise={{}} where there is none"
            )
        beside = (self.pointwise or {}).get(name)
        return layer if beside is None else replace(layer, matrix=matrix(beside, self.module.get_submodule(beside)))


def _children(module: Any) -> list[tuple[str, Any]]:
    """Those of a module, each as often as it is used."""
    return [(name, part) for name, part in module.named_modules(remove_duplicate=False) if name and "." not in name]


def _refuse_unknown(name: str, module: Any) -> None:
    for own, parameter in module.named_parameters(recurse=False):
        if parameter.is_complex() and parameter.ndim >= 3:
            raise TypeError(
                f"{label(name, module)} owns complex weights, {own!r} of shape {tuple(parameter.shape)}, and is no "
                "Fourier layer that is known: initialize it yourself, and leave it as it is with "
                f"skip=({name!r},)"
            )


def _left(name: str, skip: tuple[str, ...]) -> bool:
    """Is it, or a module that it is part of, to be left as it is?"""
    return any(name == other or name.startswith(f"{other}.") for other in skip)


def _of_fno(name: str, fno: FNO, skip: tuple[str, ...]) -> list[FourierLayer]:
    if fno.skip:
        raise ValueError(
            f"{label(name, fno)} adds the input of each layer to its output, so lengths and gradients grow with depth "
            "for every variance of its weights: build it with skip=False"
        )
    layers, phi = [], named(fno.activation)
    for place, conv in enumerate(fno.spectral):
        at, beside = join(name, f"spectral.{place}"), join(name, f"pointwise.{place}")
        if _left(at, skip):
            continue
        found = matrix(beside, fno.pointwise[place]) if len(fno.pointwise) and not _left(beside, skip) else None
        layers.append(replace(spectral_layer(at, conv), matrix=found, phi=phi))
    return layers


def _of_blocks(name: str, blocks: Any, skip: tuple[str, ...]) -> list[FourierLayer]:
    _refuse_between(name, blocks, skip)
    phi, times = named(blocks.non_linearity), 1 if _has_mlp(blocks) else 2
    layers = []
    for place, conv in enumerate(blocks.convs):
        at = join(name, f"convs.{place}")
        if _left(at, skip):
            continue
        if not is_spectral(conv):
            raise TypeError(f"{label(at, conv)} is no SpectralConv: FNOBlocks with another conv_module are not known")
        layers.append(
            replace(spectral_layer(at, conv), matrix=_beside(name, blocks, place, skip), phi=phi, times=times)
        )
    return layers


def _has_mlp(blocks: Any) -> bool:
    """Version 1 always has them."""
    return getattr(blocks, "use_channel_mlp", True)


def _refuse_between(name: str, blocks: Any, skip: tuple[str, ...]) -> None:
    if blocks.stabilizer is not None:
        raise TypeError(f"{label(name, blocks)} has a stabilizer in front of its layers: build it with stabilizer=None")
    between = {
        "channel_mlp": (_has_mlp(blocks), "use_channel_mlp=False"),
        "norm": (blocks.norm is not None, "norm=None"),
    }
    for part, (there, without) in between.items():
        at = join(name, part)
        if there and not _left(at, skip):
            raise TypeError(
                f"{label(name, blocks)} has {at!r} between its Fourier layers, which no variance of theirs makes up "
                f"for: build it with {without}, or leave that part as it is with skip=({at!r},)"
            )


def _beside(name: str, blocks: Any, place: int, skip: tuple[str, ...]) -> Matrix | None:
    """The linear skip beside a layer; None without a skip, or where it is left as it is."""
    skips = join(name, "fno_skips")
    at = f"{skips}.{place}"
    if blocks.fno_skips is None or _left(at, skip):
        return None
    held = blocks.fno_skips[place]
    if not is_neuralop(held, "Flattened1dConv"):
        raise TypeError(
            f"{label(at, held)} adds the input of a Fourier layer to its output, channel by channel, and is no random "
            f"matrix: build it with fno_skip='linear' or None, or leave it as it is with skip=({skips!r},)"
        )
    return matrix(f"{at}.conv", held.conv)
