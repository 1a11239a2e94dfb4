"""Regimes: the named points of Tensor Programs IV, its formula for r against the calculus, words."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Integer, Rational, Symbol, lambdify, symbols

from symbolic.scaling.classify import classify
from symbolic.scaling.conditions import stability
from symbolic.scaling.equations import Chain, first_step, later_step
from symbolic.scaling.layers import Axis, mlp
from symbolic.scaling.optimizers import optimizer
from symbolic.scaling.tropical import most

half = Rational(1, 2)
SGD = optimizer("sgd")


def chain_of(a, b, c, rule=SGD, **more):
    layers = mlp(len(a) - 2)
    rows = (tuple(Rational(x) for x in row) for row in (a, b, c))
    return Chain(layers, *rows, rule, **more)


POINTS = {  # a, b, c for all layers; name of the regime, r
    "SP": ((0, 0, 0, 0), (0, half, half, half), 0, "unstable", -1),
    "SP lr/n": ((0, 0, 0, 0), (0, half, half, half), 1, "kernel", half),
    "NTP": ((0, half, half, half), (0, 0, 0, 0), 0, "kernel", half),
    "muP": ((-half, 0, 0, half), (half, half, half, half), 0, "feature learning", 0),
    "MFP": ((0, 1), (0, 0), -1, "feature learning", 0),
    "muP, rate/n": ((-half, 0, 0, half), (half, half, half, half), 1, "trivial", 1),
}


@pytest.mark.parametrize("name", POINTS)
def test_the_named_points_of_tensor_programs_iv(name):
    a, b, c, regime, r = POINTS[name]
    found = classify(chain_of(a, b, (c,) * len(a)))
    assert (found.name, found.r) == (regime, r)
    assert found.stable == (regime != "unstable")
    assert str(found).startswith(f"{regime}, features move by ")


# -- Yang & Hu 2021: r = min(a + b, 2a + c) + c - 1 + min_l [2 a_l + 1(l = 1)], their conditions; in units of 1/n -----


def theorem(a, b, c, n, first=1):
    """stable, nontrivial, feature, r; a, b of shape (layers, points), all in units of 1/n; `first` is 1(l = 1)."""
    last, slow = a[-1] + b[-1], 2 * a[-1] + c
    onset = np.min(2 * a[:-1] + n * first * (np.arange(len(a) - 1) == 0)[:, None], axis=0)
    r = np.minimum(last, slow) + c - n + onset
    drawn = (a[0] + b[0] == 0) & (2 * (a[1:-1] + b[1:-1]) == n).all(axis=0) & (2 * last >= n)
    stable = drawn & (r >= 0) & (slow >= n) & (last + r >= n)
    return drawn, stable, stable & ((last + r == n) | (slow == n)), stable & (r == 0), r


@cache
def calculus(depth):
    """The same from the equations of the chain, homogeneous in the exponents and the exponent nu of the width."""
    nu = Symbol("nu", positive=True)
    layers = mlp(depth - 2, Axis("width", nu))
    rows = [symbols(f"{row}:{depth}", real=True) for row in "ab"]
    c = Symbol("c", real=True)
    chain = Chain(layers, *map(tuple, rows), (c,) * depth, SGD)
    steps = first_step(chain), later_step(chain)
    conditions = stability(chain)
    found = (
        [k.form for k in conditions if not k.upper],
        conditions[depth - 1].form,
        most(*(k.form for k in conditions if k.upper)),
        most(*(step.change[-1] for step in steps)),
        -most(*(own for step in steps for own in step.own[:-1])),
    )
    return lambdify([*rows, c, nu], found, "numpy", cse=True)


def compared(a, b, c, n, first=1):
    """Points where theorem and calculus differ, and the numbers of stable and of feature learning ones.

    All terms are multiples of 1/2 below 2^50, and so exact in floating point.
    """
    drawn, stable, nontrivial, feature, r = theorem(a, b, c, n, first)
    initial, f, worst, moved, r_calculus = calculus(len(a))(*map(np.asarray, (list(a), list(b), c, n)))
    drawn_calculus = (np.stack(np.broadcast_arrays(*initial)) == 0).all(axis=0) & (f <= 0)
    stable_calculus = drawn_calculus & (worst <= 0)
    differ = (drawn != drawn_calculus) | (stable != stable_calculus) | (drawn & (r != r_calculus))
    differ |= nontrivial != (stable_calculus & (moved == 0))
    differ |= feature != (stable_calculus & (r_calculus == 0))
    return int(differ.sum()), int(stable.sum()), int(feature.sum())


def random_points(seed, depth, points):
    """Rationals p/q, q <= 12; two thirds of them initialized as stability wants, many on the boundaries."""
    rng = np.random.default_rng(seed)
    n = 2 * rng.integers(1, 13, points)
    a, b = rng.integers(-2 * n, 2 * n + 1, (2, depth, points))
    c = rng.integers(-2 * n, 2 * n + 1)
    a[1:-1] = np.where(rng.random(points) < 0.6, 0, a[1:-1])
    a[0] = np.where(rng.random(points) < 0.4, -n // 2, a[0])
    drawn = rng.random(points) < 0.67
    b[0] = np.where(drawn, -a[0], b[0])
    b[1:-1] = np.where(drawn, n // 2 - a[1:-1], b[1:-1])
    return a, b, c, n


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_the_formula_of_r_and_the_dichotomy_on_twenty_thousand_points(depth):
    differ, stable, feature = compared(*random_points(depth, depth, 20_000))
    assert differ == 0
    assert stable > 500
    assert feature > 20


def test_a_formula_without_the_finite_input_disagrees():
    differ, _, _ = compared(*random_points(0, 4, 20_000), first=0)
    assert differ > 1000


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 4, 5]))
def test_the_formula_of_r_on_a_hundred_points_each(seed, depth):
    assert compared(*random_points(seed, depth, 100))[0] == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.fractions(-1, 1, max_denominator=4), min_size=3, max_size=3),
    st.fractions(0, 2, max_denominator=4),
    st.fractions(-1, 2, max_denominator=4),
)
def test_the_classifier_is_the_theorem(a, b_out, c):
    b = [-a[0], Fraction(1, 2) - a[1], b_out]
    scale = 24
    columns = (np.array([[int(x * scale)] for x in row]) for row in (a, b))
    drawn, stable, nontrivial, feature, r = theorem(*columns, np.array([int(c * scale)]), np.array([scale]))
    found = classify(chain_of(a, b, (c, c, c)))
    assert found.stable == stable[0]
    if drawn[0]:
        assert found.r == Rational(int(r[0]), scale)
    if found.stable:
        assert (found.nontrivial, found.nontrivial and found.feature) == (nontrivial[0], feature[0] & nontrivial[0])


# -- in words -------------------------------------------------------------------------------------------------------


def test_what_blows_up_where_and_when():
    found = classify(chain_of((0, 0, 0), (0, half, half), (0, 0, 0)))
    assert found.reasons == (
        "hidden: blows up as n^(1/2) at the first step, through its update",
        "output: blows up as n^(3/2) at the first step, through its update on the change of its inputs",
    )


def test_a_zero_readout_blows_up_only_once_it_is_trained():
    """b_out = 8: delta is next to 0 at the first step, and that of the trained readout afterwards."""
    found = classify(chain_of((0, 0, 0), (0, half, 8), (-3 * half, 0, 1)))
    assert found.reasons[0] == "input: blows up as n^(1/2) once the readout is trained, through its update"
    assert classify(chain_of((0, 0, 0), (0, half, 8), (-1, 0, 1))).name == "feature learning"


def test_initialization_that_explodes_or_vanishes():
    found = classify(chain_of((0, 0, 0), (0, 0, 0), (0, 1, 2)))
    assert found.reasons[:2] == (
        "hidden: pre-activations are n^(1/2) at initialization",
        "output: it is n^1 at initialization",
    )


def test_constant_damping_freezes_and_the_pi_heuristic_freezes_the_input_alone():
    kfac = optimizer("kfac")
    given = ((0, 0, 0), (0, half, 1), (0, 0, 0), kfac)
    frozen = "freezes, its update changes what it gives by n^(-1)"
    assert classify(chain_of(*given, damping="constant")).reasons == (f"input: {frozen}", f"hidden: {frozen}")
    assert classify(chain_of(*given, damping="pi")).reasons == (f"input: {frozen}",)
    assert classify(chain_of(*given)).reasons == ()


def test_a_regime_in_symbols_is_refused():
    e_A = Symbol("e_A", nonnegative=True)
    with pytest.raises(ValueError, match="the regime depends on e_A: give numbers"):
        classify(chain_of((0, 0, 0), (0, half, 1), (0, 0, 0), optimizer("kfac", e_A=e_A)))


@pytest.mark.parametrize(("shape", "omega"), [("output", 1), ("hidden", half)])
def test_what_a_matrix_gains_from_a_vector_that_came_through_its_transpose(shape, omega):
    """RMS of W W^T z over RMS(W) RMS(W^T z) at widths 64 to 2048 against n^(omega i), by drawing."""
    rng = np.random.default_rng(0)
    widths = np.array([64, 256, 1024, 2048])
    gains = []
    for n in widths:
        rows = 3 if shape == "output" else n
        W, z = rng.standard_normal((rows, n)) / np.sqrt(n), rng.standard_normal(rows)
        v = W.T @ z
        gains.append(np.std(W @ v) * np.sqrt(n) / np.sqrt(np.mean(v**2)))
    slope = np.polyfit(np.log(widths), np.log(gains), 1)[0]
    assert slope == pytest.approx(float(omega), abs=0.1)


def test_the_depth_of_a_chain_does_not_matter_to_its_regime():
    for hidden in (1, 4):
        inner = (half,) * hidden
        chain = Chain(
            mlp(hidden), (Integer(0),) * (hidden + 2), (Integer(0), *inner, Integer(1)),
            (Integer(0), *(Integer(1),) * (hidden + 1)), optimizer("adam"),
        )  # fmt: skip
        assert classify(chain).name == "feature learning"
