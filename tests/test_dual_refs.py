"""The table of dual activations: its spread, its digits, its generator, and the library against every value of it."""

import importlib
import json
import random
import sys
from fractions import Fraction
from pathlib import Path

import mpmath as mp
import pytest

import meanfield as mf

ROOT = Path(__file__).parents[1]
STORED = json.loads((ROOT / "tests" / "refs" / "duals.json").read_text())
FORMULAS, DUALS = STORED["formulas"], STORED["duals"]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")

    def load(name):
        if name == "make_dual_refs":
            pytest.importorskip("flint")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def correlations(rows):
    """(1 - c, 1 + c) to a few digits from exact rationals."""
    for p, q, k, *_ in rows:
        with mp.workdps(40):
            c = float(k) / mp.sqrt(mp.mpf(float(p)) * float(q))
            yield float(1 - c), float(1 + c)


# -- spread --------------------------------------------------------------------------------------------------------


def test_the_table_has_24_activations_and_the_derivatives_of_all_without_jumps():
    slopes = {name[:-1] for name in DUALS if name.endswith("'")}
    assert len(FORMULAS) == 24 == len(DUALS) - len(slopes)
    assert set(FORMULAS) - slopes == {"step", "sign"}


@pytest.mark.parametrize("name", DUALS)
def test_the_points_spread(name):
    rows = DUALS[name]
    variances = {float(v) for row in rows for v in row[:2]}
    near = list(correlations(rows))
    assert len(rows) >= 60 and len({tuple(row[:3]) for row in rows}) == len(rows)
    assert min(variances) == 1e-6 and max(variances) == (100 if name.startswith("exp") else 1000)
    assert {row[0] == row[1] for row in rows} == {True, False}
    assert {0.0} < {minus for minus, _ in near} and {0.0} < {plus for _, plus in near} and (1.0, 1.0) in near
    assert sum(0 < minus < 1.001e-8 for minus, _ in near) >= 5 and sum(0 < plus < 1.001e-8 for _, plus in near) >= 5


def test_all_share_their_points_but_exp():
    shared = [row[:3] for row in DUALS["tanh"]]
    assert all([row[:3] for row in rows] == shared for name, rows in DUALS.items() if not name.startswith("exp"))


@pytest.mark.parametrize("name", DUALS)
def test_points_are_exact_numbers_in_the_cone(name):
    for p, q, k, *_ in DUALS[name]:
        assert [repr(float(x)) for x in (p, q, k)] == [p, q, k]
        assert Fraction(float(k)) ** 2 <= Fraction(float(p)) * Fraction(float(q))


@pytest.mark.parametrize("name", DUALS)
def test_both_rules_and_the_formula_agreed(name):
    for *_, value, scale, gap, apart, method in DUALS[name]:
        assert gap < 1e-25 and (apart is None or apart < 1e-25)
        assert method.split()[0] in {"plane", "line"}
        assert abs(Fraction(value)) <= Fraction(scale) * (1 + Fraction(1, 10**15)), "Cauchy and Schwarz"


# -- digits --------------------------------------------------------------------------------------------------------


def root(p, q):
    return mp.sqrt(p * q)


def away(p, q, k):
    """The supplement of the angle."""
    return mp.pi - mp.acos(k / root(p, q))


TEXTBOOK = {
    "relu": lambda p, q, k: (mp.sqrt(p * q - k * k) + k * away(p, q, k)) / (2 * mp.pi),
    "abs": lambda p, q, k: 2 / mp.pi * (mp.sqrt(p * q - k * k) + k * mp.asin(k / root(p, q))),
    "step": lambda p, q, k: away(p, q, k) / (2 * mp.pi),
    "sign": lambda p, q, k: 2 / mp.pi * mp.asin(k / root(p, q)),
    "erf": lambda p, q, k: 2 / mp.pi * mp.asin(2 * k / root(1 + 2 * p, 1 + 2 * q)),
    "phi": lambda p, q, k: (1 + 2 / mp.pi * mp.asin(k / root(1 + p, 1 + q))) / 4,
    "sin": lambda p, q, k: mp.exp(-(p + q) / 2) * mp.sinh(k),
    "cos": lambda p, q, k: mp.exp(-(p + q) / 2) * mp.cosh(k),
    "exp": lambda p, q, k: mp.exp((p + q) / 2 + k),
    "gaussian": lambda p, q, k: 1 / mp.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * k * k),
    "erf'": lambda p, q, k: 4 / mp.pi / mp.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * k * k),
    "sin'": lambda p, q, k: mp.exp(-(p + q) / 2) * mp.cosh(k),
}


def astray(name, row):
    """The difference from the textbook, in units of the scale."""
    with mp.workdps(60):
        p, q, k = (mp.mpf(float(x)) for x in row[:3])
        return abs(TEXTBOOK[name](p, q, k) - mp.mpf(row[3])) / mp.mpf(row[4])


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook_values_match_at_random_rows(name):
    for row in random.Random(name).sample(DUALS[name], 15):
        assert astray(name, row) < 1e-30, row


@pytest.mark.parametrize("name", TEXTBOOK)
def test_one_wrong_digit_would_be_noticed(name):
    row = max(DUALS[name], key=lambda row: abs(Fraction(row[3])) / Fraction(row[4]))
    mantissa, _, exponent = row[3].partition("e")
    digit = len(mantissa) - 12
    wrong = mantissa[:digit] + str((int(mantissa[digit]) + 1) % 10) + mantissa[digit + 1 :] + "e" + (exponent or "0")
    assert astray(name, row) < 1e-30 < astray(name, [*row[:3], wrong, *row[4:]])


def test_exp_is_right_relative_to_itself():
    with mp.workdps(60):
        for row in DUALS["exp"]:
            p, q, k = (mp.mpf(float(x)) for x in row[:3])
            assert abs(TEXTBOOK["exp"](p, q, k) / mp.mpf(row[3]) - 1) < 1e-30


# -- generator -----------------------------------------------------------------------------------------------------


def test_the_generator_reproduces_random_rows(script):
    make = script("make_dual_refs")
    rng = random.Random(0)
    mild = [point for point in make.POINTS if max(point) <= 4 and min(point[:2]) > 1e-3]
    edge = [point for point in make.POINTS if make.geometry(*point)[4].is_zero()]
    jobs = [(rng.choice(edge), make.FAMILIES), *((rng.choice(mild), make.FAMILIES[i : i + 1]) for i in (0, 3, 4))]
    for point, families in jobs:
        for name, (*at, value, scale, _, _, method) in make.rows(point, families).items():
            (row,) = (row for row in DUALS[name] if row[:3] == at)
            assert abs(Fraction(value) - Fraction(row[3])) < Fraction(scale) / 10**30, (name, at)
            assert (scale, method) == (row[4], row[7])


def test_the_generator_reproduces_a_smooth_plane_with_a_third_rule(script):
    make = script("make_dual_refs")
    (family,) = (family for family in make.FAMILIES if "tanh" in family.names)
    means = importlib.import_module("dual_means")
    rule = means.Rule(18, means.arb(3) / 4, means.arb(2), means.ZERO, means.ZERO)
    p, q, _, c, s = make.geometry(1.3, 0.7, 0.4)
    for name, value in zip(family.names, means.expected(family, rule, p, q, c, s), strict=True):
        (row,) = (row for row in DUALS[name] if row[:3] == ["1.3", "0.7", "0.4"])
        assert abs(value - means.arb(row[3])) < means.arb(row[4]) * means.arb("1e-22"), name


@pytest.mark.parametrize(("name", "index"), [("relu", 0), ("step", 2), ("sin'", 5), ("selu", 8)])
def test_mpmath_confirms_values_next_to_the_edge(script, name, index):
    make = script("make_dual_refs")
    row = DUALS[name][index]
    with mp.workdps(20):
        value = make.nested(name, tuple(map(float, row[:3])))
        assert abs(value - mp.mpf(row[3])) < 1e-15 * mp.mpf(row[4])


# -- check ---------------------------------------------------------------------------------------------------------


class Off:
    """The table's own values, off by a share of the scale, with a bound of 1e-14 of it."""

    tier = "table"

    def __init__(self, rows, share):
        self.values = [float(row[3]) + share * float(row[4]) for row in rows]
        self.bounds = [1e-14 * float(row[4]) for row in rows]

    def __call__(self, p, q, k, error):
        return self.values, self.bounds


@pytest.mark.parametrize(("share", "kept"), [(0.0, True), (5e-15, True), (2e-14, False), (float("nan"), False)])
def test_the_check_sees_an_error_beyond_its_bound(script, share, kept):
    rows = DUALS["tanh"]
    _, count, error, _, over_bound, bound = script("check_duals").measure(Off(rows, share), rows)
    assert count == len(rows) and bound == pytest.approx(1e-14)
    assert (over_bound <= 1) is kept and (error <= 1.1e-14) is kept


def test_the_check_without_a_peer_says_so(script):
    check = script("check_duals")
    assert "not measured" in check.theirs(STORED, None)
    assert "not measured" in check.theirs(STORED, "/no/such/python")


# -- library -------------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(script):
    def at(name):
        dual = mf.dual(FORMULAS[name.rstrip("'")])
        rows = DUALS[name]
        return script("check_duals").measure(dual.derivative if name.endswith("'") else dual, rows)

    return at


# Minutes of compilation; of each kind of activation one without a formula stays: kinked, smooth, bounded.
COMPILED = {
    "selu",
    "selu'",
    "elu'",
    "hard_tanh'",
    "mish'",
    "arctan",
    "arctan'",
    "sigmoid",
    "sigmoid'",
    "softplus",
    "silu'",
}
MEASURED = [pytest.param(name, marks=[pytest.mark.slow] if name in COMPILED else []) for name in DUALS]


@pytest.mark.parametrize("name", MEASURED)
def test_the_library_is_right_within_its_own_bound(measured, name):
    *_, error, _, over_bound, _ = measured(name)
    assert error <= 1e-13 and over_bound <= 1


@pytest.mark.parametrize("name", MEASURED)
def test_the_bound_of_the_library_is_tight(measured, name):
    assert measured(name)[-1] <= 1e-13
