"""Activations shaped for depth: phi_hat(x) = gamma (phi(alpha x + beta) + delta), and what it keeps at length 1.

Local maps, z ~ N(0, 1), phi_hat = phi_hat(z): Q(1) = E phi_hat^2, Q'(1) = E phi_hat phi_hat' z, C(0) = (E phi_hat)^2,
C'(1) = E phi_hat'^2, C''(1) = E phi_hat''^2. Always Q(1) = Q'(1) = 1. dks (Martens et al. 2021, arXiv 2110.01765):
C(0) = 0, largest C_f'(1) = zeta. tat (Zhang et al. 2022, 2203.08120): C'(1) = 1, largest C_f''(1) = tau, and alpha
gamma < 2 (from the authors' code). Leaky ReLU of slope a, C(c) = ((1 - a)^2 (sqrt(1 - c^2) + (pi - acos c) c)/pi + 2 a
c)/(1 + a^2): largest C_f(0) = eta (tat); shifted to C(0) = 0, C'(1) = 1/(1 - (1 - a)^2/(pi (1 + a^2))) (dks).
"""

from dataclasses import asdict, astuple, dataclass, field
from math import acos, exp, inf, log, pi, sqrt
from typing import Any

from scipy.optimize import brentq
from sympy import Expr, Float, Max, Rational

from meanfield.finite.networks import whole
from meanfield.local_maps import Body, LocalMaps, Parameters, candidates
from meanfield.subnetworks import extreme
from solvers.iterate import NotConverged
from symbolic.activations import ACTIVATIONS, activation
from symbolic.functions import X
from symbolic.networks import Dense, Layer, Pointwise

STEEP = 2.0  # tat refuses input_scale * output_scale from here on
LOOSE = 1e-11  # how far from their targets the maps may be on a finer rule
LEAKY, RELU = ACTIVATIONS["leaky_relu"], ACTIVATIONS["relu"]
STEEPEST = 1 / (1 - 1 / pi)  # C'(1) of the shifted ReLU


@dataclass(frozen=True)
class Shaped:
    """phi_hat(x) = output_scale (phi(input_scale x + input_shift) + output_shift), `.activation` in x; its maps at
    length 1; target: what the network's largest slope, curvature or correlation is; residual: how far from the wanted
    ones the maps are."""

    name: str
    method: str
    network: str
    target: tuple[str, float]
    input_scale: float
    input_shift: float
    output_shift: float
    output_scale: float
    negative_slope: float | None
    maps: LocalMaps
    residual: float
    activation: Expr = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"activation": str(self.activation)}

    def __str__(self) -> str:
        slope = "" if self.negative_slope is None else f", negative_slope = {self.negative_slope:.12g}"
        long = [x for x in self.activation.atoms(Rational) if x.q > 1000]
        return (
            f"{self.name} ({self.method}, {self.target[0]} = {self.target[1]:.6g}, {self.network}): "
            f"{self.activation.xreplace({x: Float(x, 6) for x in long})}\n"
            f"  input_scale = {self.input_scale:.12g}, input_shift = {self.input_shift:.12g}, "
            f"output_shift = {self.output_shift:.12g}, output_scale = {self.output_scale:.12g}{slope}\n"
            f"  at length 1: {self.maps}"
        )

    __repr__ = __str__


def shape_activation(
    phi: Any,
    *,
    depth: int | None = None,
    method: str = "dks",
    zeta: float | None = None,
    tau: float | None = None,
    eta: float | None = None,
    graph: Layer | None = None,
) -> Shaped:
    """The activation (name, formula, SymPy expression, layer) shaped for a chain of `depth` layers, or for a network
    `graph`, with weight_var = 1 and bias_var = 0, in which every activation is to be replaced by the shaped one.

    Targets, by method: zeta (1.5) of "dks"; of "tat" tau (0.3), or eta (0.9) for leaky_relu, whose slope is then chosen
    too.
    Raises ValueError for a target out of range or of reach, NotConverged where no parameters are found.
    """
    given = activation(phi)
    target = _goal(given, method, {"zeta": zeta, "tau": tau, "eta": eta})
    task = _Task(given, method, target, _network(depth, graph), depth)
    return task.leaky() if given == LEAKY else task.smooth()


@dataclass(frozen=True)
class _Task:
    """What is shaped, how, for which network."""

    phi: Pointwise
    method: str
    target: tuple[str, float]
    network: Layer
    depth: int | None

    def __str__(self) -> str:
        return f"{self.phi} by {self.method} to {self.target[0]} = {self.target[1]:g} for {self.place}"

    @property
    def place(self) -> str:
        return str(self.network) if self.depth is None else f"depth {self.depth}"

    def local_slope(self) -> float:
        """C'(1) of each layer. Where n activations are passed on average it is at most zeta^(1/n), by Jensen's
        inequality, and equal to it in a chain."""
        zeta = self.target[1]
        high = 1.001 * log(zeta) / extreme(self.network, 0.0, lambda v: v + 1)

        def gap(x: float) -> float:
            return log(extreme(self.network, 1.0, lambda v: exp(x) * v) / zeta)

        return exp(brentq(gap, 0.0, high, xtol=1e-18, rtol=1e-15))

    def local_curvature(self) -> float:
        """C''(1) of each layer."""
        return self.target[1] / extreme(self.network, 0.0, lambda v: v + 1)

    def smooth(self) -> Shaped:
        """By alpha and beta such that C'(1), or for tat C''(1), is the local one."""
        body, tat = Body(self.phi.formula), self.method == "tat"
        if self.phi == RELU or not body.smooth(2 if tat else 1):
            raise ValueError(
                f"{self.phi} cannot be shaped by {self.method}, which needs two free parameters and a "
                f"{'second ' if tat else ''}derivative without jumps to infinity: use leaky_relu"
            )
        local = self.local_curvature() if tat else self.local_slope()
        found = candidates(body, self.method, local if tat else local - 1)
        if not found:
            raise NotConverged(
                f"no parameters were found that shape {self}: ask for a smaller {self.target[0]}, "
                "or for another activation"
            )
        if tat and found[0].steepness >= STEEP:
            raise ValueError(
                f"all {len(found)} solutions for {self.phi} have input_scale * output_scale >= {STEEP:g}, the least "
                f"{found[0].steepness:.6g}: multiply the formula by a number that makes its largest slope 1, "
                "as 4*sigmoid(x)"
            )
        wanted = (1.0, 1.0, None, 1.0, local) if tat else (1.0, 1.0, 0.0, local, None)
        return self.result(found[0], wanted, None)

    def leaky(self) -> Shaped:
        """By the slope a, shifted to mean 0 under dks."""
        a = self.slope_for_correlation() if self.method == "tat" else self.slope_for_slope()
        mean = (1 - a) / sqrt(2 * pi) if self.method == "dks" else 0.0
        at = Parameters(1.0, 0.0, 0.0 - mean, 1 / sqrt((1 + a * a) / 2 - mean**2))
        slope = (1 + a * a) / 2 * at.output_scale**2
        return self.result(at, (1.0, 1.0, 0.0 if mean else None, slope, None), a)

    def slope_for_correlation(self) -> float:
        """The slope with a largest C_f(0) of eta; ValueError where even ReLU, a = 0, has a smaller one."""
        eta = self.target[1]

        def gap(a: float) -> float:
            return extreme(self.network, 0.0, lambda c: leaky_map(a, c)) - eta

        if gap(0.0) < 0:
            hint = "" if self.depth is None else f", or for depth >= {_reached(eta)}"
            raise ValueError(
                f"{self} is impossible: ReLU itself gives C_f(0) = {gap(0.0) + eta:.11f}: "
                f"ask for an eta up to that{hint}"
            )
        return float(brentq(gap, 0.0, 1.0, xtol=1e-16, rtol=1e-15))

    def slope_for_slope(self) -> float:
        """The slope with C'(1) the local one; ValueError where even ReLU, a = 0, has a smaller one."""
        t = pi * (1 - 1 / self.local_slope())  # (1 - a)^2/(1 + a^2)
        if t > 1:
            most = extreme(self.network, 1.0, lambda v: STEEPEST * v)
            raise ValueError(
                f"{self} is impossible: ReLU itself gives C_f'(1) = {most:.11g}: ask for a zeta up to that, "
                "or for more layers"
            )
        return (1 - t) / (1 + sqrt(t * (2 - t)))

    def result(self, at: Parameters, wanted: tuple[float | None, ...], slope: float | None) -> Shaped:
        """What was found, once its maps on a finer rule are the wanted ones; NotConverged else."""
        formula = self.phi.formula if slope is None else Max(X, _exactly(slope) * X)
        maps = Body(formula).maps(at)
        residual = max(abs(x - y) for x, y in zip(astuple(maps), wanted, strict=True) if y is not None)
        if not residual <= LOOSE:
            raise NotConverged(
                f"the maps of {self} miss their targets by {residual:.3g}, since it grows too fast or oscillates: "
                "use another activation"
            )
        alpha, beta, delta, gamma = (_exactly(x) for x in at)
        shaped = gamma * (formula.subs(X, alpha * X + beta) + delta)
        return Shaped(self.phi.name, self.method, self.place, self.target, *at, slope, maps, residual, shaped)


def _exactly(value: float) -> Expr:
    """The decimal that a float prints as; with the binary float no formula could be proved to 25 digits."""
    return Rational(repr(value))


def leaky_map(a: float, c: float) -> float:
    """C(c) of leaky ReLU with slope a."""
    c = min(c, 1.0)
    arc = (sqrt(1 - c * c) + (pi - acos(c)) * c) / pi
    return ((1 - a) ** 2 * arc + 2 * a * c) / (1 + a * a)


def _reached(eta: float) -> int:
    """The depth at which ReLU carries c = 0 to eta."""
    depth, c = 0, 0.0
    while c < eta:
        depth, c = depth + 1, leaky_map(0.0, c)
    return depth


def _goal(given: Pointwise, method: str, targets: dict[str, float | None]) -> tuple[str, float]:
    """The target that the method has for this activation, and its value; ValueError for another or a wrong one."""
    known = {"dks": ("zeta", 1.5, 1.0, inf), "tat": ("tau", 0.3, 0.0, inf)}
    if method not in known:
        raise ValueError(f"unknown method {method!r}; known are {', '.join(known)}")
    name, default, low, high = ("eta", 0.9, 0.0, 1.0) if method == "tat" and given == LEAKY else known[method]
    other = [n for n, v in targets.items() if v is not None and n != name]
    if other:
        raise ValueError(f"the target of {method} for {given} is {name}: leave {' and '.join(other)} out")
    value = default if targets[name] is None else targets[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not low < value < high:
        raise ValueError(f"{name} must be greater than {low:g} and less than {high:g}, not {value:g}")
    return name, float(value)


def _network(depth: int | None, graph: Layer | None) -> Layer:
    if (depth is None) == (graph is None):
        raise ValueError("give the number of layers of a chain as depth, or a network as graph: one of them")
    if graph is None:
        return (LEAKY >> Dense(1, 0)) ** whole("depth", depth)
    if extreme(graph, 0.0, lambda v: v + 1) == 0:
        raise ValueError(f"there is no activation to shape in '{graph}'")
    return graph
