"""Emitted text: it says what the expression says, in shapes that keep their digits, and the same in every process."""

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Expr, Piecewise, Rational, Symbol, cosh, exp, log, pi, sin, sinh, sqrt, tanh

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.emit import VOCABULARY, WORDS, Unprintable, emit
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, g, k, p, q, t
from symbolic.limits import LIMITS, derive
from symbolic.maps import Map
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Dense, Dropout, Identity, LayerNorm, RMSNorm
from tests.symbolic.quadrature_oracle import mean_of, numeric, pair_mean_of


def checked_mean(f: Any, marks: Any, variance: float, *rates: Any) -> float:
    return mean_of(np.vectorize(f, otypes=[float]), marks, variance)


def checked_pair_mean(f: Any, f_marks: Any, h: Any, h_marks: Any, *law: float) -> float:
    return pair_mean_of(np.vectorize(f, otypes=[float]), f_marks, np.vectorize(h, otypes=[float]), h_marks, *law)


def checked_smoothed_mean(f: Any, f_marks: Any, h: Any, h_marks: Any, smooth: Any, *law: float) -> float:
    """The smoothed function is what it says it is, and the pair mean does without it."""
    for m, s in ((0.3, 0.7), (-2.0, 1.3)):
        shifted = np.vectorize(lambda w, m=m, s=s: h(m + s * w), otypes=[float])
        by_rule = mean_of(shifted, (h_marks - m) / s, 1.0)
        value, size = smooth(m, s)
        assert value == pytest.approx(by_rule, rel=1e-11, abs=1e-13) and size >= abs(value)
    return checked_pair_mean(f, f_marks, h, h_marks, *law)


def orthant(p: float, q: float, k: float) -> float:
    return 0.25 + math.asin(k / math.sqrt(p * q)) / (2 * math.pi)


def ramp(p: float, q: float, k: float) -> float:
    return (math.sqrt(max(p * q - k * k, 0)) + k * math.acos(-k / math.sqrt(p * q))) / (2 * math.pi)


def tail(b: float, t: float, m: float, v: float) -> float:
    return math.exp(b * m + b * b * v / 2) * math.erfc((t - m - b * v) / math.sqrt(2 * v)) / 2


WORLD: dict[str, Any] = {word: getattr(math, word) for word in VOCABULARY if hasattr(math, word)} | {
    "heaviside": lambda x: 0.5 * (1 + (x > 0) - (x < 0)), "sign": lambda x: float((x > 0) - (x < 0)), "absolute": abs,
    "maximum": max, "minimum": min,
    "sigmoid": lambda x: 0.5 * (1 + math.tanh(x / 2)), "softplus": lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))),
    "orthant": orthant, "tail": tail, "gain": lambda b, *law: tail(b, *law) - tail(0.0, *law),
    "area": lambda p, q, k: p * q - k * k,
    "arcsine": lambda n, m: math.atan2(n, math.sqrt(m)),
    "ramp": ramp, "clip1": lambda x: max(-1.0, min(1.0, x)), "exp_sinh": lambda a,
    b: (math.exp(a + b) - math.exp(a - b)) / 2,
    "exp_cosh": lambda a, b: (math.exp(a + b) + math.exp(a - b)) / 2, "checked_mean": checked_mean,
    "checked_pair_mean": checked_pair_mean, "checked_smoothed_mean": checked_smoothed_mean,
    "bounded_mean": lambda *a: (checked_mean(*a), 0.0), "bounded_pair_mean": lambda *a: (checked_pair_mean(*a), 0.0),
    "bounded_smoothed_mean": lambda *a: (checked_smoothed_mean(*a), 0.0),
    "array": np.array,
}  # fmt: skip
VALUES = {p: 1.3, q: 0.7, k: 0.4, t: 0.9, g: 1.1, WEIGHT_VAR: 1.7, BIAS_VAR: 0.3}


def run(args: list[Symbol], exprs: list[Expr], values: dict[Symbol, float]) -> tuple[float, ...]:
    """The emitted text in plain Python, with nothing but the vocabulary."""
    world = {"__builtins__": {}, **WORLD}
    exec(emit({"f": (args, exprs)}), world)
    return world["f"](*(values[s] for s in args))


def text_of(derived: Map) -> str:
    return emit({"step": ([*derived.state, *derived.params], [*derived.raw])})


def test_the_vocabulary_is_complete() -> None:
    """Every word has a stand-in here, and every SymPy word is in the vocabulary."""
    assert set(VOCABULARY) | {"array"} == set(WORLD) and set(WORDS.values()) <= set(VOCABULARY)


BLOCKS = {name: phi >> Dense() for name, phi in ACT.items()} | {
    "norm": ACT["gelu"] >> LayerNorm() >> Dense(), "residual": Identity() + (ACT["erf"] >> Dense()),
    "rms": ACT["snake"] >> RMSNorm() >> Dense(),
    "dropout": 3 * (ACT["elu"] >> Dropout(0.8) >> Dense()),
}  # fmt: skip


@pytest.mark.parametrize("limit", [n for n in LIMITS if n != "ntk"])
@pytest.mark.parametrize("name", BLOCKS)
def test_the_text_computes_what_the_formula_says(name: str, limit: str) -> None:
    """Closed and open means, in every limit, against an evaluation of the open formula that emits nothing."""
    if name in {"step", "sign"} and limit in {"ntk_diagonal", "gradient"}:
        with pytest.raises(Unprintable, match="does not exist as a number"):
            text_of(derive(BLOCKS[name], limit))
        return
    derived = derive(BLOCKS[name], limit)
    found = run([*derived.state, *derived.params], [*derived.raw], VALUES)
    assert found == pytest.approx([numeric(e, VALUES) for e in derived.raw], rel=2e-13, abs=1e-14)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "sin", "gaussian", "tanh", "selu", "residual"])
def test_the_slopes_compute_what_the_formula_says(name: str) -> None:
    """The Jacobian of a pair map: many products, quotients and half powers."""
    derived = derive(BLOCKS[name])
    exprs = [*derived.slopes()[2, :]]
    found = run([*derived.state, *derived.params], exprs, VALUES)
    assert found == pytest.approx([numeric(e, VALUES) for e in exprs], rel=1e-12, abs=1e-14)


def test_means_inside_means_come_first() -> None:
    """tanh >> Dense >> selu >> LayerNorm >> Dense: inner variances come before the outer means that need them."""
    derived = derive(ACT["tanh"] >> Dense() >> ACT["selu"] >> LayerNorm() >> Dense())
    found = run([*derived.state, *derived.params], [*derived.raw], VALUES)
    assert found == pytest.approx([numeric(e, VALUES) for e in derived.raw], rel=2e-13)
    text = text_of(derived)
    inner = next(line for line in text.splitlines() if "checked_pair_mean(f" in line).split(" = ")[0].strip()
    outer = next(line for line in text.splitlines() if "checked_smoothed_mean(f" in line)
    assert inner.startswith("v") and "f0" not in outer


def test_equal_integrands_are_written_once() -> None:
    """E tanh(u)^2 for p and for q share a helper; so do functions of one text."""
    derived = derive(ACT["tanh"] >> Dense())
    text = emit({"a": ([*derived.state, *derived.params], [*derived.raw]), "b": ([q], [Mean(tanh(X) ** 2, q)])})
    assert text.count("def f") == 2 and text.count("checked_mean(") == 3 and text.count("_marks = ") == 2


TIGHT = [
    q / (1 + q) ** 2, q / (1 + q) ** Rational(3, 2), 1 / (1 + q) ** 2, q / sqrt(1 + q), -q, q - 1, q / 3 / k, k**-2,
    q / k**3,
    q ** Rational(1, 3), sqrt(q - k), q / sqrt(q - k**2), (q - Rational(1, 3)) ** Rational(-3, 2), q / sqrt(pi),
    q ** Rational(11, 2), q**-7,
    k**p, 2**q, q ** (-p), p / (q * k), p / (q * k) ** 2, (p + q) / (p - k) / (q - k), -k / (q * exp(p)),
    2 * Piecewise((q, k > 1), (q**2, True)), q / Piecewise((q, k > 1), (q**2, True)) ** 2,
    -Piecewise((q, k < 1), (p, True)) + 1,
    Piecewise((q, k > 3), (Piecewise((q, k > 1), (p, True)), True)) * p,
    Piecewise((Piecewise((q, k > 4), (p**3, True)), k < 3), (p**2, True)) + q,
    Piecewise((q, k >= 3), (q**3, k > 1), (q**2, k <= p), (5, True)), sp.Max(p, q, k) * sp.Min(p, k),
    exp(-q) * sinh(k), p * exp(q - p) * cosh(k * p),
    log(1 + exp(q)), exp(q) - 1, q * exp(-k) - q, 3 - 3 * exp(k), sp.Heaviside(q - p), abs(q - p),
    sp.asin(k) + sp.acos(k / p) * sp.atan(q),
]  # fmt: skip


@pytest.mark.parametrize("expr", TIGHT, ids=str)
def test_precedence_survives(expr: Expr) -> None:
    """Quotients of powers, pieces as factors, nested pieces."""
    assert run([p, q, k], [expr], VALUES)[0] == pytest.approx(float(expr.subs(VALUES).evalf(20)), rel=1e-14)


def grow(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda a: a[0] + a[1]), two.map(lambda a: a[0] * a[1]), two.map(lambda a: a[0] / (2 + a[1])),
        inner.map(lambda a: sqrt(1 + a)),
        two.map(lambda a: Piecewise((a[0], k < q), (a[1], True))), inner.map(lambda a: (1 + a) ** Rational(-3, 2)),
        inner.map(lambda a: exp(-a)),
        two.map(lambda a: sp.Max(a[0], a[1])), inner.map(lambda a: a**-2), inner.map(lambda a: 1 - exp(-a) / 3),
    )  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.recursive(st.sampled_from([p, q, Rational(1, 3), Symbol("w", positive=True)]), grow, max_leaves=6))
def test_random_expressions_survive(expr: Expr) -> None:
    """Text and expression agree whatever is nested in what."""
    values = {**VALUES, Symbol("w", positive=True): 2.25}
    wanted = float(expr.subs({s: Rational(str(v)) for s, v in values.items()}).evalf(30))
    assert run([p, q, k, Symbol("w", positive=True)], [expr], values)[0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("exprs", "shape"), [
    ([log(1 + exp(q))], "softplus(q)"), ([exp(q) - 1], "expm1(q)"), ([q * exp(k) - q], "q*expm1(k)"),
    ([exp(-p) * sinh(k)], "exp_sinh("),
    ([PairMean(sin(X), sin(X), p, q, k)], "exp_sinh("), ([PairMean(sp.cos(X), sp.cos(X), p, q, k)], "exp_cosh("),
    ([sqrt(p * q - k**2)], "sqrt(maximum("),
    ([PairMean(sp.Max(X, 0), sp.Max(X, 0), p, q, k)], "ramp(p, q, k)"),
    ([PairMean(sp.Heaviside(X), sp.Heaviside(X), p, q, k)], "orthant(p, q, k)"),
    ([PairMean(sp.erf(X), sp.erf(X), p, q, k)], "arcsine(2.0*k, "), ([Mean(ACT["softplus"].formula, q)], "softplus(x)"),
    ([Mean(ACT["elu"].formula, q)], "expm1(x)"),
    ([PairMean(ACT["elu"].formula, tanh(X), p, q, k)], "gain((-1.0), 0.0,"),
    ([sp.asin(q)], "asin(clip1(q))"),
    ([PairMean(exp(-(X**2)), exp(-(X**2)), p, q, k)], "area(p, q, k)"),
    ([Mean(ACT["sigmoid"].formula, q)], "sigmoid(x)"),
    ([Mean(ACT["hard_tanh"].formula ** 2, q)], "f0_marks = array([(-1.0), 1.0])"),
    ([Mean(tanh(X - 1), q)], "f0_marks = array([1.0])"),
])  # fmt: skip
def test_shapes_that_keep_their_digits(exprs: list[Expr], shape: str) -> None:
    """Words are used where elementary formulas cancel, overflow or leave their domain."""
    assert shape in emit({"f": ([p, q, k], exprs)})


def test_rounding_below_zero_is_caught() -> None:
    """A dual at k = sqrt(pq), where rounding makes pq - k^2 negative, and the LayerNorm of equal inputs."""
    close_by = {**VALUES, p: 0.1, q: 0.3, k: math.sqrt(0.03) * (1 + 1e-15)}
    gelu = run([p, q, k], [PairMean(ACT["relu"].formula ** 2, ACT["relu"].formula, p, q, k)], close_by)
    assert math.isfinite(gelu[0])


@pytest.mark.parametrize(("args", "expr", "message"), [
    ([q], sp.gamma(q), "no word for gamma in gamma.q.; known are absolute, acos"),
    ([q], Mean(tanh(Symbol("s") * X), q),
        "the mean of tanh.s.x. has no formula and needs numbers for s: give them values"),
    ([p, q, k], PairMean(sp.Heaviside(X - 1), tanh(X), p, q, k).diff(k),
        "does not exist as a number: the activation jumps"),
    ([q], q + p, "the symbol p is neither an argument nor defined"),
    ([q], Symbol("q") + 1, "the symbol q is neither an argument nor defined"),
    ([q], Piecewise((1, sp.Or(q < 1, q > 2)), (2, True)), "no word for the condition"),
    ([q], Piecewise((1, q < 1), (2, q < 2)), "leave a gap"),
    ([q], sp.I * q, "no word for"), ([q], sp.oo * q, "no word for"),
    ([Symbol("lambda"), q], q, "the symbol lambda cannot be the name of an argument in Python here: rename it"),
    ([Symbol("sigma_w^2"), q], q, "cannot be the name"), ([Symbol("v0"), q], q, "cannot be the name"),
    ([Symbol("exp"), q], q, "cannot be the name"),
    ([Symbol("q"), q], q, "two of the arguments q, q share a name: rename one"),
])  # fmt: skip
def test_what_has_no_word_is_refused(args: list[Symbol], expr: Expr, message: str) -> None:
    """Never a silent fallback; each message names the next step."""
    with pytest.raises(Unprintable, match=message):
        emit({"f": (args, [expr])})


def test_the_title_is_a_docstring() -> None:
    """A text can say what it was made from."""
    assert emit({"f": ([q], [q])}, "length of relu").startswith('"""length of relu"""\n\n\ndef f(q):')


PROGRAM = """
from symbolic.activations import ACTIVATIONS as ACT
from symbolic.emit import emit
from symbolic.limits import derive
from symbolic.networks import Dense, Identity, LayerNorm
for block in (ACT["gelu"] >> Dense(), ACT["tanh"] >> Dense() >> ACT["selu"] >> LayerNorm() >> Dense(),
    Identity() + (ACT["snake"] >> Dense())):
    for limit in ("nngp", "ntk"):
        m = derive(block, limit)
        print(emit({"step": ([*m.state, *m.params], [*m.raw]),
            "slope": ([*m.state, *m.params], [m.raw[2].diff(m.state[2])])}))
        print(m.latex(), m)
"""


def test_the_text_is_the_same_in_every_process() -> None:
    """The text is hashed and cached, so the seed of Python's hashes must not show."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1", "4242")
    ]
    texts = {run.communicate(timeout=100)[0] for run in runs}
    assert len(texts) == 1 and "checked_pair_mean" in texts.pop()


def test_a_condition_that_two_branches_share_is_named_once() -> None:
    """Common subexpressions may be conditions too."""
    shared = Piecewise((p, k < q), (Piecewise((p, k < q), (q, True)), True)) ** -2
    text = emit({"f": ([p, q, k], [shared, Piecewise((1, k < q), (2, True))])})
    scope: dict[str, object] = {}
    exec(text, scope)
    assert scope["f"](2.0, 4.0, 1.0) == (0.25, 1.0)  # type: ignore[operator]
    assert scope["f"](2.0, 4.0, 5.0) == (0.0625, 2.0)  # type: ignore[operator]
