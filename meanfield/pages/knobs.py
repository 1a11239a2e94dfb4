"""What the page with knobs shows, as dictionaries that JSON can carry; numbers that JSON lacks are null.

`point`: the phase of phi >> Dense(weight_var, bias_var), its map of correlations, and a pair of inputs of length 1
and correlation 1/2 on its way through the layers; `edge`: the critical weight_var at this bias_var; `diagram`: the
edge of chaos and the depth scale of gradients 1/|log chi_1| over both variances; `equations`: the maps as MathML.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.diagram import critical_curve, length_table
from meanfield.edge import edge_of_chaos
from meanfield.pages.desk import Desk, desk, free_block
from meanfield.pages.typeset import mathml
from solvers import diagram as grids
from solvers.iterate import HUGE
from solvers.spectra import depth_scale
from symbolic.activations import ACTIVATIONS
from symbolic.critical import NoEdge
from symbolic.limits import derive

START = 1.0, 0.5  # length and correlation of the two inputs
MAP_POINTS, COLUMNS, ROWS, CURVE = 101, 150, 100, 300
DEEPEST, LARGEST, OVERFLOW = 1000, 1e4, 1e100
SHORTEST = 1e-30


@dataclass(frozen=True)
class Settings:
    """Where the knobs stand."""

    activation: str = "tanh"
    weight_var: float = 1.5
    bias_var: float = 0.05
    depth: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.weight_var <= LARGEST:
            raise ValueError(f"weight_var must be greater than 0 and at most {LARGEST:g}, not {self.weight_var:g}")
        if not 0 <= self.bias_var <= LARGEST:
            raise ValueError(f"bias_var must be at least 0 and at most {LARGEST:g}, not {self.bias_var:g}")
        if not 1 <= self.depth <= DEEPEST:
            raise ValueError(f"depth must be a whole number of layers from 1 to {DEEPEST}, not {self.depth}")

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Settings":
        """From text; what is left out stands where it stands at first. ValueError for what is no number."""
        return cls(
            given.get("activation", cls.activation),
            number(given, "weight_var", float, cls.weight_var),
            number(given, "bias_var", float, cls.bias_var),
            number(given, "depth", int, cls.depth),
        )


def point(at: Settings) -> dict[str, Any]:
    """The phase, the map of correlations at its length, and two inputs layer by layer."""
    found = desk(at.activation)
    with found.lock:
        phase = found.phase(at.weight_var, at.bias_var)
        length = min(max(phase.q, SHORTEST), HUGE)
        data = {name: value for name, value in phase.to_dict().items() if name != "block"}
        data |= {"map": _map(found, length, at), "layers": _layers(found, at)}
    return finite(data | _lines(found, at))


def edge(at: Settings) -> dict[str, Any]:
    """The critical point with this bias_var, or the sentence that says why there is none."""
    found = desk(at.activation)
    with found.lock:
        try:
            critical = edge_of_chaos(found.phi, bias_var=at.bias_var)
        except NoEdge as error:
            return {"sentence": str(error)}
    return finite({name: getattr(critical, name) for name in ("weight_var", "bias_var", "q", "chi_q", "stable")})


def diagram(at: Settings, weight_most: float, bias_most: float) -> dict[str, Any]:
    """1/log chi_1 in the cells of a grid from 0 to the largest weight_var and bias_var, and the edge of chaos."""
    for name, value in (("weight_most", weight_most), ("bias_most", bias_most)):
        if not 0 < value <= LARGEST:
            raise ValueError(f"{name} must be greater than 0 and at most {LARGEST:g}, not {value:g}")
    weights, biases = ((np.arange(n) + 0.5) * most / n for n, most in ((COLUMNS, weight_most), (ROWS, bias_most)))
    found = desk(at.activation)
    with found.lock:
        table = length_table(found.phi)
        chi_1 = grids.lengths(weights, biases, table, 1.0)[1]
        line = _within(critical_curve(table), weight_most, bias_most)
    scale = np.vectorize(lambda chi: -depth_scale(chi), otypes=[float])(chi_1)
    return finite(
        {"weight_most": weight_most, "bias_most": bias_most, "columns": COLUMNS, "rows": ROWS}
        | {"scale": [[float(f"{x:.4g}") for x in row] for row in scale.T], "edge": line}
    )


def equations(at: Settings) -> dict[str, Any]:
    """The activation and the maps of length and covariance, typeset."""
    found = desk(at.activation)
    with found.lock:
        maps = derive(free_block(found.phi), "nngp")
        closed, text = maps.closed, maps.latex()
    return {"formula": mathml(found.phi.formula, block=False), "maps": mathml(text), "closed": closed}


def names() -> list[str]:
    """The activations that have a name."""
    return list(ACTIVATIONS)


def finite(value: Any) -> Any:
    """The same with null for numbers that JSON lacks, but "inf" and "-inf" for infinities."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    if isinstance(value, float) and not isfinite(value):
        return {inf: "inf", -inf: "-inf"}.get(value)
    return value


def _map(found: Desk, length: float, at: Settings) -> dict[str, list[float]]:
    """C(c) at a length, denser towards c = -1 and 1, where it turns."""
    c = np.sin(np.linspace(-np.pi / 2, np.pi / 2, MAP_POINTS))
    scale = found.lengths(length, at.weight_var, at.bias_var)[0]
    after = found.covariances(np.array([length]), at.weight_var, at.bias_var)(0, c) / scale
    return {"c": c.tolist(), "after": after.tolist()}


def _layers(found: Desk, at: Settings) -> dict[str, list[float]]:
    """q and c before each layer and behind the last; the mean squared gradient there over that at the output."""
    q, factors = [START[0]], []
    for _ in range(at.depth):
        after, factor = found.lengths(q[-1], at.weight_var, at.bias_var)
        if not 0 < after < OVERFLOW:
            break
        q.append(after)
        factors.append(factor)
    lengths = np.array(q)
    gradients = np.append(np.cumprod(factors[::-1])[::-1], 1.0)
    c = _correlations(found, lengths, at)
    padding = [nan] * (at.depth + 1 - len(q))
    return {"q": q + padding, "c": c.tolist() + padding, "gradient": gradients.tolist() + padding}


def _correlations(found: Desk, lengths: Array, at: Settings) -> Array:
    """c layer by layer, of two inputs of one length; lengths that differ by rounding share their coefficients."""
    rounded = np.array([float(f"{x:.11e}") for x in lengths])
    c = np.empty(len(lengths))
    c[0] = START[1]
    step = found.covariances(rounded[:-1], at.weight_var, at.bias_var)
    for i in range(len(lengths) - 1):
        c[i + 1] = np.clip(float(np.squeeze(step(i, c[i]))) / lengths[i + 1], -1.0, 1.0)
    return c


def _within(line: tuple[Array, Array], weight_most: float, bias_most: float) -> list[list[float]]:
    """The part of the curve up to a little beyond the picture, in as many points as can be told apart."""
    weights, biases = line
    shown = (weights <= 1.5 * weight_most) & (biases <= 1.5 * bias_most)
    kept = np.flatnonzero(shown)[:: max(1, int(shown.sum()) // CURVE)]
    return np.stack([weights[kept], biases[kept]], axis=1).tolist()


def _lines(found: Desk, at: Settings) -> dict[str, str]:
    """What to type for the same numbers, in Python and in a shell."""
    name = found.phi.name
    block = found.block(at.weight_var, at.bias_var)
    layer = f"mf.Dense(weight_var={at.weight_var!r}, bias_var={at.bias_var!r})"
    quoted = name if name in ACTIVATIONS else repr(name)
    text = f"{quoted} >> Dense({at.weight_var!r}, {at.bias_var!r})"
    return {
        "block": str(block),
        "python": f"mf.phase(mf.activation({name!r}) >> {layer})",
        "command": f"meanfield phase {shlex.quote(text)}",
    }


def number(given: Mapping[str, str], name: str, kind: type, otherwise: Any) -> Any:
    """A number among the text that was given; ValueError for what is none."""
    text = given.get(name)
    if text is None:
        return otherwise
    try:
        return kind(text)
    except ValueError:
        wanted = "whole number" if kind is int else "number"
        raise ValueError(f"{name} must be a {wanted}, not {text[:40]!r}") from None
