"""Exponents of one training step of a chain h_l = n^(-a_l) w_l x_(l-1), w_l ~ N(0, n^(-2 b_l)), lr n^(-c_l), f = h_D.

[h_l] = -a_l - b_l + i_l/2 + [x_(l-1)],   [delta_(l-1)] = [delta_l] - a_l - b_l + o_l/2, max(.., [dW_D] + o_D) at D,
own_l = [dW_l] + alpha i_l + [x_(l-1)],  prop_l = -a_l - b_l + omega_l i_l + [dx_(l-1)],
cross_l = [dW_l] + u i_l + [dx_(l-1)],   [dh_l] = max(own_l, prop_l, cross_l),   [dW_l] = -a_l - c_l + [Q_l].
Independent sums gain i/2, aligned ones i. Tensor Programs IV (arXiv 2011.14522) recalled; backpropagation's form here
was derived and simulated; that of predictive coding and target propagation is ours, after arXiv 2411.02001, not read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sympy import Expr, S, expand

from symbolic.scaling.layers import Parameter
from symbolic.scaling.optimizers import ONE, ZERO, Optimizer, Signals
from symbolic.scaling.tropical import most

Row = tuple[Expr, ...]
Damping = str | Sequence[Mapping[str, Expr]]
DAMPINGS = ("matched", "constant", "pi")


@dataclass(frozen=True)
class Alignment:
    """The powers of the fan-in that dW x, W_0 dx and dW dx gain; omega None: read off how dx came through W_0."""

    alpha: Expr = ONE
    omega: Expr | None = None
    u: Expr = ONE


@dataclass(frozen=True)
class Chain:
    """A chain of matrices with its exponents (multiplier n^-a, init_std n^-b, learning rate n^-c) and its optimizer.

    damping: "matched" (of the size of what it is added to), "constant", "pi" (the heuristic of Martens & Grosse for
    K-FAC), or the exponents of each layer.
    """

    layers: tuple[Parameter, ...]
    a: Row
    b: Row
    c: Row
    optimizer: Optimizer
    damping: Damping = "matched"
    alignment: Alignment = Alignment()

    def weight(self, at: int) -> Expr:
        """[n^-a w] of an entry."""
        return -self.a[at] - self.b[at]


@dataclass(frozen=True)
class Step:
    """Exponents after a step, of each layer: h at initialization, delta and dW; own, prop, cross, the change of h."""

    chain: Chain
    h: Row
    delta: Row
    update: Row
    signals: tuple[Signals, ...]

    @cached_property
    def own(self) -> Row:
        rows = zip(self.update, self.chain.layers, self.signals, strict=True)
        return tuple(expand(dW + self.chain.alignment.alpha * p.fan_in + s.x) for dW, p, s in rows)

    @property
    def prop(self) -> Row:
        return self._moved[0]

    @property
    def cross(self) -> Row:
        return self._moved[1]

    @property
    def change(self) -> Row:
        return self._moved[2]

    @cached_property
    def _moved(self) -> tuple[Row, Row, Row]:
        prop: list[Expr] = [S.NegativeInfinity]  # the data do not change
        cross: list[Expr] = [S.NegativeInfinity]
        change: list[Expr] = [self.own[0]]
        how = self.chain.alignment
        for k, p in enumerate(self.chain.layers[1:], 1):
            omega = carried(p, self.chain.optimizer) if how.omega is None else how.omega * p.fan_in
            prop.append(expand(self.chain.weight(k) + omega + change[-1]))
            cross.append(expand(self.update[k] + how.u * p.fan_in + change[-1]))
            change.append(most(self.own[k], prop[-1], cross[-1]))
        return tuple(prop), tuple(cross), tuple(change)


def carried(layer: Parameter, optimizer: Optimizer) -> Expr:
    """omega i: W_0 times a vector that came through W_0^T gains the trace, n^(i - o/2); through an inverse nothing.

    W_0 W_0^T z is n^(i - 2b) z, and W_0^T z of size n^(o/2 - b) [z]; target propagation's inverse Q has W_0 Q z = z.
    """
    i, o = layer.fan_in, layer.fan_out
    return i / 2 if optimizer.signal == "targets" else most(i / 2, i - o / 2)


def first_step(chain: Chain) -> Step:
    """The exponents of the first step."""
    return _step(chain, None)


def later_step(chain: Chain) -> Step:
    """Those of a step that goes backwards through a readout that the first has trained.

    Trained hidden weights add [dW_l] + o_l against 0, which is more only where own_l > 0: unstable already.
    """
    return _step(chain, first_step(chain))


def _step(chain: Chain, before: Step | None) -> Step:
    h = _forward(chain)
    x = (ZERO, *h[:-1])
    delta = _backward(chain, h, before)
    signals = tuple(
        Signals(x[k], delta[k], -chain.b[k], -chain.a[k], p.fan_in, p.fan_out) for k, p in enumerate(chain.layers)
    )
    update = tuple(
        expand(-chain.a[k] - chain.c[k] + chain.optimizer.update(s, _damping(chain, k, s)))
        for k, s in enumerate(signals)
    )
    return Step(chain, h, delta, update, signals)


def _forward(chain: Chain) -> Row:
    h: list[Expr] = []
    for k, p in enumerate(chain.layers):
        h.append(expand(chain.weight(k) + p.fan_in / 2 + (h[-1] if h else ZERO)))
    return tuple(h)


def _backward(chain: Chain, h: Row, before: Step | None) -> Row:
    """[delta_l], with the loss derivative at f Theta(1)."""
    delta = [ZERO]
    for k in range(len(chain.layers) - 1, 0, -1):
        delta.insert(0, expand(delta[0] + _through(chain, k, h, before)))
    if chain.optimizer.signal != "inference":
        return tuple(delta)
    # gamma_l e_l = gamma_L J_l^T (1 + C)^-1 (y - f), C = gamma_L sum_l J_l J_l^T/gamma_l, J_l = dh_L/dh_l
    spread = most(*(2 * d + p.fan_out for d, p in zip(delta[:-1], chain.layers, strict=False)))
    weight = expand(chain.optimizer.energy - most(ZERO, chain.optimizer.energy + spread))
    return tuple(expand(d + weight) for d in delta)


def _through(chain: Chain, k: int, h: Row, before: Step | None) -> Expr:
    """What delta gains on its way back through layer k."""
    if chain.optimizer.signal == "targets":
        size = h if before is None else tuple(most(u, v) for u, v in zip(h, before.change, strict=True))
        return size[k - 1] - size[k]
    drawn = chain.weight(k) + chain.layers[k].fan_out / 2
    if before is None or k < len(chain.layers) - 1:
        return drawn
    return most(drawn, before.update[k] + chain.layers[k].fan_out)


def _damping(chain: Chain, k: int, s: Signals) -> Mapping[str, Expr] | None:
    """The exponents of the dampings of layer k, None where they are matched: that changes no exponent."""
    names = [m.damping for m in chain.optimizer.metrics]
    if not isinstance(chain.damping, str):
        return chain.damping[k]
    if chain.damping == "matched":
        return None
    if chain.damping not in DAMPINGS:
        raise ValueError(f"damping is {', '.join(map(repr, DAMPINGS))} or exponents, not {chain.damping!r}")
    if not names:
        raise ValueError(f"{chain.optimizer.name} has no damping to set to {chain.damping!r}; leave damping out")
    if chain.damping == "constant":
        return dict.fromkeys(names, ZERO)
    if names != ["rho_A", "rho_B"]:
        raise ValueError(f"damping='pi' splits that of kfac in two, and {chain.optimizer.name} has {', '.join(names)}")
    ratio = s.x - s.multiplier - s.delta  # pi^2 = (tr A/dim A)/(tr B/dim B)
    return {"rho_A": ratio, "rho_B": -ratio}


def dampings(chain: Chain) -> tuple[Mapping[str, Expr], ...]:
    """The exponents of the dampings of each layer."""
    signals = first_step(chain).signals
    given = (_damping(chain, k, s) for k, s in enumerate(signals))
    return tuple({**chain.optimizer.dampings(s), **(one or {})} for s, one in zip(signals, given, strict=True))


def shifted(chain: Chain, theta: Sequence[Expr]) -> Chain:
    """The same training in another gauge, (a + theta, b - theta, c - kappa theta) in each layer."""
    kappa, turns = chain.optimizer.gauge, chain.optimizer.damping_gauge
    a = tuple(expand(v + t) for v, t in zip(chain.a, theta, strict=True))
    b = tuple(expand(v - t) for v, t in zip(chain.b, theta, strict=True))
    c = tuple(expand(v - kappa * t) for v, t in zip(chain.c, theta, strict=True))
    moved = replace(chain, a=a, b=b, c=c)
    if isinstance(chain.damping, str):
        return moved
    damping = [
        {n: expand(v + turns[n] * t) for n, v in row.items()} for row, t in zip(chain.damping, theta, strict=True)
    ]
    return replace(moved, damping=damping)
