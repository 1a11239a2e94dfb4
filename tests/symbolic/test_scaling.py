"""The master table of exponents, in symbols; gauges; predictive coding and target propagation; wrong rules fail."""

from dataclasses import replace

import pytest
from sympy import Integer, Max, Rational, symbols

from symbolic.scaling.conditions import PARAMETRIZATIONS, held, mean_field, mup, ntk
from symbolic.scaling.equations import Alignment, Chain, first_step, later_step, shifted
from symbolic.scaling.gauges import GAUGES, theta
from symbolic.scaling.layers import mlp
from symbolic.scaling.optimizers import PROVENANCE, RULES, Metric, frobenius, optimizer
from symbolic.scaling.rules import exponents, maximal
from symbolic.scaling.solve import largest_rates, solve, unknown_chain

half = Rational(1, 2)
quarter = half / 2
zeros = (Integer(0),) * 3
e_A, e_B, e_L, e_R = symbols("e_A e_B e_L e_R", nonnegative=True)
E = e_L + e_R
g = symbols("g", real=True)

# name, exponents; c of input, hidden, output; damping of each; c of a matrix with fans n^i, n^o and init n^-b
TABLE = [
    ("sgd", {}, (-1, 0, 1), (None, None, None), lambda i, o, b: i - o),
    ("momentum", {}, (-1, 0, 1), (None, None, None), lambda i, o, b: i - o),
    *((name, {}, (0, 1, 1), (-1, -1, 0), lambda i, o, b: i) for name in ("adam", "adamw", "rmsprop", "sign", "lion")),
    *((name, {}, (0, half, 0), None, lambda i, o, b: i - b) for name in ("adafactor", "lamb", "lars")),
    *(
        (name, {}, (-half, 0, half), (-half, 0, half), lambda i, o, b: (i - o) / Integer(2))
        for name in ("normalized_sgd", "muon")
    ),
    ("shampoo", {"e_L": e_L, "e_R": e_R}, (E - 1, 0, 1 - E), (-1, 0, 1), lambda i, o, b: (i - o) * (1 - E)),
    ("shampoo", {}, (-half, 0, half), (-1, 0, 1), lambda i, o, b: (i - o) / Integer(2)),
    ("shampoo", {"e_L": half, "e_R": half}, (0, 0, 0), (-1, 0, 1), lambda i, o, b: 0),
    (
        "kfac",
        {"e_A": e_A, "e_B": e_B},
        (e_B - 1, e_B - e_A, 1 - e_A),
        ((0, -1), (1, -1), (1, 0)),
        lambda i, o, b: i * (1 - e_A) - o * (1 - e_B),
    ),
    ("kfac", {}, (0, 0, 0), ((0, -1), (1, -1), (1, 0)), lambda i, o, b: 0),
    ("kfac", {"e_A": half, "e_B": half}, (-half, 0, half), ((0, -1), (1, -1), (1, 0)), lambda i, o, b: (i - o) * half),
    ("foof", {}, (-1, -1, 0), (0, 1, 1), lambda i, o, b: -o),
    ("soap", {}, (-half, 0, half), (-half, 0, half), lambda i, o, b: i - (i + o) * half),
    ("soap", {"sides": "right"}, (0, half, half), (-1, -half, half), lambda i, o, b: i * half),
    ("soap", {"sides": "left"}, (-half, half, 1), (-half, -half, 0), lambda i, o, b: i - o * half),
]
IDS = [f"{name}{'-'.join(map(str, given.values()))}" for name, given, *_ in TABLE]
BACKPROP = [(name, given) for name, given, *_ in TABLE]


def start(rule, layers=None):
    layers = layers or mlp()
    return unknown_chain(layers, rule, a=(Integer(0),) * len(layers))


def solved(rule, conditions=mup, layers=None):
    chain = start(rule, layers)
    found = solve(chain, conditions(chain))
    assert found.free == ()
    return found.chain


def chain_of(name, b, c, a=zeros, **more):
    rows = (tuple(map(Integer(0).__add__, row)) for row in (a, b, c))
    return Chain(mlp(), *rows, optimizer(name), **more)


@pytest.mark.parametrize(("name", "given", "c", "damping", "rule"), TABLE, ids=IDS)
def test_every_row_of_the_master_table(name, given, c, damping, rule):
    chain = solved(optimizer(name, **given))
    assert chain.b == (0, half, 1)
    assert chain.c == c
    if damping is not None:
        assert tuple(row.damping for row in exponents(chain)) == damping
    for p, b, found in zip(chain.layers, chain.b, chain.c, strict=True):
        assert (found - rule(p.fan_in, p.fan_out, b)).expand() == 0


@pytest.mark.parametrize(("name", "given", "c", "damping", "rule"), TABLE, ids=IDS)
def test_one_matrix_alone_gets_what_it_gets_in_a_chain(name, given, c, damping, rule):
    fans = ((False, True), (True, True), (True, False))
    alone = [maximal(optimizer(name, **given), *f) for f in fans]
    assert [e.learning_rate for e in alone] == [-x for x in c]
    fixed = maximal(optimizer(name, **given), False, False)
    assert fixed.learning_rate == fixed.init_std == 0


@pytest.mark.parametrize(("name", "given"), BACKPROP, ids=IDS)
def test_all_updates_are_maximal_at_the_first_step_and_later(name, given):
    chain = solved(optimizer(name, **given))
    for step in (first_step(chain), later_step(chain)):
        assert step.own == step.change == (0, 0, 0)
        assert step.prop[1:] == (0, 0)
        assert step.delta == (-1, -1, 0)


def test_depth_changes_no_exponent():
    deep = solved(optimizer("kfac", e_A=e_A, e_B=e_B), layers=mlp(4))
    assert deep.c == (e_B - 1, *[e_B - e_A] * 4, 1 - e_A)
    assert deep.b == (0, *[half] * 4, 1)


@pytest.mark.parametrize("name", ["adam", "muon", "sgd"])
def test_a_wrong_rule_breaks_its_row(name):
    """Adam that divides by the norm, Muon by an entry, SGD by the gradient: each meets another row, not its own."""
    size = frobenius if name == "adam" else optimizer("adam").metrics[0].size
    wrong = replace(optimizer(name), metrics=(Metric("epsilon", Integer(1), size),))
    assert solved(wrong).c != solved(optimizer(name)).c


def test_no_learning_rate_of_the_table_may_be_larger():
    chain = solved(optimizer("adam"))
    for layer in range(3):
        faster = replace(chain, c=tuple(c - half * int(k == layer) for k, c in enumerate(chain.c)))
        assert Max(*first_step(faster).change) == half


# -- gauges ---------------------------------------------------------------------------------------------------------

KAPPA = {
    **dict.fromkeys(("sgd", "momentum", "predictive_coding", "target_propagation", "foof"), 2),
    **dict.fromkeys(("adam", "adamw", "rmsprop", "sign", "lion", "soap", "muon", "normalized_sgd"), 1),
    **dict.fromkeys(("adafactor", "lamb", "lars"), 0),
    "shampoo": 1,
    "kfac": 0,
}


@pytest.mark.parametrize("name", RULES)
def test_the_shift_of_the_learning_rate_in_another_gauge(name):
    assert optimizer(name).gauge == KAPPA[name]


def test_the_shifts_in_symbols_and_those_of_dampings():
    kfac, shampoo = optimizer("kfac", e_A=e_A, e_B=e_B), optimizer("shampoo", e_L=e_L, e_R=e_R)
    assert (kfac.gauge - 2 * (1 - e_B)).expand() == 0
    assert (shampoo.gauge - 2 * (1 - E)).expand() == 0
    assert kfac.damping_gauge == {"rho_A": 0, "rho_B": -2}
    assert shampoo.damping_gauge == {"epsilon": -2}
    assert optimizer("adam").damping_gauge == {"epsilon": -1}


@pytest.mark.parametrize("name", RULES)
def test_solving_in_a_gauge_is_shifting_to_it(name):
    rule = optimizer(name)
    theta_1, theta_2, theta_3 = shift = (half, -quarter, 3 * quarter)
    direct = unknown_chain(mlp(), rule, a=(theta_1, theta_2, theta_3))
    there = solve(direct, mup(direct)).chain
    assert there == shifted(solved(rule), shift)
    assert first_step(there).own == (0, 0, 0)
    here = exponents(solved(rule))
    for before, after, by in zip(here, exponents(there), shift, strict=True):
        assert after.dampings == {n: v + rule.damping_gauge[n] * by for n, v in before.dampings.items()}


@pytest.mark.parametrize("damping", ["constant", "given"])
def test_dampings_that_are_given_shift_along(damping):
    rows = [{"epsilon": Integer(0)}, {"epsilon": half}, {"epsilon": Integer(1)}]
    chain = replace(solved(optimizer("shampoo")), damping=rows if damping == "given" else damping)
    there = shifted(chain, (half, -quarter, 3 * quarter))
    if damping == "given":
        assert first_step(there).own == first_step(chain).own
        assert [row["epsilon"] for row in there.damping] == [-1, 1, -half]
    else:  # a damping that stays constant is another one in another gauge
        assert first_step(there).own != first_step(chain).own


TP5 = {  # a, b, c of SGD, c of Adam in Tables 3, 8, 9 of Yang et al. 2022 (second-hand)
    "table3": ((0, 0, 0), (0, half, 1), (-1, 0, 1), (0, 1, 1)),
    "table8": ((0, 0, 1), (0, half, 0), (-1, 0, -1), (0, 1, 0)),
    "table9": ((-half, 0, half), (half, half, half), (0, 0, 0), (half, 1, half)),
}


@pytest.mark.parametrize("gauge", TP5)
def test_the_three_tables_of_tensor_programs_v_are_gauges_of_one_parametrization(gauge):
    a, b, sgd, adam = TP5[gauge]
    for name, c in (("sgd", sgd), ("adam", adam)):
        chain = solved(optimizer(name))
        found = shifted(chain, theta(gauge, chain))
        assert (found.a, found.b, found.c) == (a, b, c)


def test_a_table_in_the_wrong_gauge_is_another_parametrization():
    chain = replace(solved(optimizer("adam")), c=TP5["table9"][3])
    assert first_step(chain).own != (0, 0, 0)
    assert set(TP5) < set(GAUGES)


def test_the_spectral_condition_gives_the_same_initialization_and_rates_of_sgd():
    """Yang, Simon & Bernstein 2023 (second-hand): sigma ~ n_in^-1/2 min(1, (n_out/n_in)^1/2), rate n_out/n_in."""
    chain = solved(optimizer("sgd"))
    for p, b, c in zip(chain.layers, chain.b, chain.c, strict=True):
        i, o = p.fan_in, p.fan_out
        assert b == i / 2 + Max(0, (i - o) / 2)
        assert c == i - o


# -- other parametrizations -----------------------------------------------------------------------------------------

REFERENCE = [  # optimizer, b_out, c, dampings; own of input, hidden, output; prop of the output
    ("sgd", half, (0, 0, 0), "matched", (-half, half, 1), 1),
    ("sgd", half, (1, 1, 1), "matched", (-3 * half, -half, 0), 0),
    ("sgd", half, (0, 1, 1), "matched", (-half, -half, 0), 0),
    ("adam", half, (0, 0, 0), "matched", (0, 1, 1), 3 * half),
    ("adam", half, (1, 1, 1), "matched", (-1, 0, 0), half),
    ("adam", half, (0, 1, 1), "matched", (0, 0, 0), half),
    ("kfac", half, (0, 0, 0), "matched", (-half, -half, 0), 0),
    ("shampoo", half, (0, half, half), "matched", (-half, -half, 0), 0),
    ("kfac", 1, (0, 0, 0), "constant", (-1, -1, 0), -1),
    ("kfac", 1, (0, 0, 0), "pi", (-1, 0, 0), 0),
]


@pytest.mark.parametrize(("name", "b_out", "c", "damping", "own", "prop"), REFERENCE)
def test_slopes_of_other_parametrizations(name, b_out, c, damping, own, prop):
    step = first_step(chain_of(name, (0, half, b_out), c, damping=damping))
    assert step.own == own
    assert step.prop[-1] == prop


def test_the_matched_dampings_of_the_kernel_regime():
    kfac, shampoo = (exponents(chain_of(n, (0, half, half), zeros)) for n in ("kfac", "shampoo"))
    assert [row.damping for row in kfac] == [(0, 0), (1, 0), (1, 0)]
    assert [row.damping for row in shampoo] == [0, 1, 1]


NTK = {
    "sgd": (0, 1, 1), "kfac": (0, 0, 0), "shampoo": (0, half, half), "foof": (0, 0, 0), "adam": (half, 3 * half, 1),
    "predictive_coding": (0, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", NTK)
def test_the_kernel_parametrization(name):
    chain = solved(optimizer(name), ntk)
    assert (chain.b, chain.c) == ((0, half, half), NTK[name])
    assert first_step(chain).own == (-half, -half, 0)
    assert first_step(chain).change[-1] == 0


def test_target_propagation_has_no_kernel_regime():
    chain = solved(optimizer("target_propagation"), ntk)
    assert chain == solved(optimizer("target_propagation"), mup)
    assert first_step(chain).own == (0, 0, 0)


def test_the_mean_field_parametrization_is_mup_for_backpropagation_only():
    assert solved(optimizer("adam"), mean_field) == solved(optimizer("adam"), mup)
    assert solved(optimizer("target_propagation"), mean_field) != solved(optimizer("target_propagation"), mup)
    assert set(PARAMETRIZATIONS) == {"mup", "ntk", "standard", "mean_field"}


# -- Everett et al. 2024 --------------------------------------------------------------------------------------------

AB = {
    "STP": (zeros, (0, half, half)),
    "NTK": ((0, half, half), zeros),
    "muP": ((-half, 0, half), (half, half, half)),
    "MFP": ((0, half, 1), zeros),
}
FULL, NONE = Alignment(Integer(1), half, Integer(1)), Alignment(half, half, half)
h3 = 3 * half
EVERETT = {
    ("STP", "sgd"): ((-half, half, 1), (-half, 0, half)),
    ("STP", "adam"): ((0, 1, 1), (0, half, half)),
    ("STP", "adafactor"): ((0, half, half), (0, 0, 0)),
    ("NTK", "sgd"): ((-half, -half, 0), (-half, -1, -half)),
    ("NTK", "adam"): ((0, half, half), (0, 0, 0)),
    ("NTK", "adafactor"): ((0, half, half), (0, 0, 0)),
    ("muP", "sgd"): ((0, 0, 0), (0, -half, -half)),
    ("muP", "adam"): ((half, 1, half), (half, half, 0)),
    ("muP", "adafactor"): ((0, half, 0), (0, 0, -half)),
    ("MFP", "sgd"): ((-1, -1, -1), (-1, -h3, -h3)),
    ("MFP", "adam"): ((0, half, 0), (0, 0, -half)),
    ("MFP", "adafactor"): ((0, half, 0), (0, 0, -half)),
}
GRADIENTS = {"STP": (half, half, 0), "NTK": (half, 1, half), "muP": (half, 1, half), "MFP": (1, h3, 1)}


@pytest.mark.parametrize(("where", "name"), EVERETT)
def test_the_largest_rates_under_full_and_no_alignment(where, name):
    a, b = AB[where]
    for how, expected in zip((FULL, NONE), EVERETT[where, name], strict=True):
        chain = chain_of(name, b, zeros, a=a, alignment=how)
        assert largest_rates(chain) == expected
        there = replace(chain, c=largest_rates(chain))
        assert first_step(there).own == (0, 0, 0)
        assert Max(*first_step(there).change) == 0


@pytest.mark.parametrize("where", AB)
def test_the_exponents_of_gradients(where):
    a, b = AB[where]
    assert tuple(-s.gradient for s in first_step(chain_of("adam", b, zeros, a=a)).signals) == GRADIENTS[where]


@pytest.mark.parametrize(("where", "stable"), [("STP", False), ("NTK", False), ("muP", True), ("MFP", True)])
def test_full_alignment_is_unstable_where_the_readout_aligns_too(where, stable):
    """omega_out = 1 is what a network has: what is stable at omega = 1/2 moves the output by n^(1/2)."""
    a, b = AB[where]
    chain = chain_of("adam", b, zeros, a=a)
    there = replace(chain, c=largest_rates(chain))
    assert first_step(there).change[-1] == (0 if stable else half)


# -- predictive coding and target propagation: derived here, not read ---------------------------------------------

PC = {0: ((-1, 0, 1), -1), half: ((-half, half, h3), -half), 1: ((0, 1, 2), 0), h3: ((0, 1, 2), 0), 3: ((0, 1, 2), 0)}


@pytest.mark.parametrize("gamma", PC)
def test_predictive_coding_between_gradient_descent_and_gauss_newton(gamma):
    c, error = PC[gamma]
    chain = solved(optimizer("predictive_coding", gamma=gamma))
    assert (chain.b, chain.c) == ((0, half, 1), c)
    step = first_step(chain)
    assert step.delta[:-1] == (error, error)
    assert step.delta[-1] - gamma == -max(0, gamma - 1)
    assert step.change == later_step(chain).change == (0, 0, 0)


def test_predictive_coding_in_symbols():
    chain = solved(optimizer("predictive_coding", gamma=g))
    s = Max(0, g - 1)
    assert chain.c == (g - s - 1, g - s, g - s + 1)


def test_predictive_coding_with_the_standard_readout_moves_the_output_too_much():
    chain = chain_of("predictive_coding", (0, half, half), zeros)
    assert first_step(replace(chain, c=largest_rates(chain))).change[-1] == half


def test_target_propagation_with_any_readout():
    b = symbols("b", real=True)
    chain = chain_of("target_propagation", (Integer(0), half, b), zeros)
    assert largest_rates(chain) == (b - half, b + half, 1)
    assert first_step(chain).delta == (b - half, b - half, 0)
    mup_chain = solved(optimizer("target_propagation"))
    assert (mup_chain.b, mup_chain.c) == ((0, half, half), (0, 1, 1))
    assert later_step(mup_chain).change == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "b_out", "c", "own", "prop"),
    [
        ("target_propagation", 1, (half, h3, 1), (0, 0, 0), -half),
        ("target_propagation", half, (half, h3, h3), (-half, -half, -half), -half),
        ("sgd", half, (0, 1, 1), (-half, -half, 0), 0),
    ],
)
def test_features_and_output_move_together_under_target_propagation(name, b_out, c, own, prop):
    step = first_step(chain_of(name, (0, half, b_out), c))
    assert (step.own, step.prop[-1]) == (own, prop)


def test_where_a_rule_comes_from_is_said():
    assert set(PROVENANCE) == set(RULES)
    for name in ("predictive_coding", "target_propagation"):
        assert "not read" in PROVENANCE[name] and "derived here" in PROVENANCE[name]


def test_holding_an_exponent_that_the_table_has_changes_nothing():
    chain = start(optimizer("adam"))
    found = solve(chain, [*mup(chain), held(chain, "output", "init_std", Integer(-1))])
    assert found.chain == solved(optimizer("adam"))


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("adm", {}, "unknown optimizer 'adm'; did you mean adam"),
        ("K-FAC", {}, "did you mean kfac"),
        ("zzz", {}, "known are sgd, momentum"),
        ("kfac", {"e_A": 2}, "e_A must be finite and at least 0 and at most 1, not 2"),
        ("shampoo", {"e_L": -0.5}, "e_L must be finite"),
        ("shampoo", {"e_l": 0.5}, "shampoo has no exponent 'e_l'; it has e_L, e_R"),
        ("sgd", {"e_L": 0.5}, "sgd has no exponent 'e_L'; it has none"),
        ("soap", {"sides": "top"}, "'both', 'left' or 'right', not 'top'"),
        ("predictive_coding", {"gamma": float("nan")}, "gamma must be finite"),
    ],
)
def test_optimizers_that_are_refused(name, given, message):
    with pytest.raises(ValueError, match=message):
        optimizer(name, **given)


def test_an_exponent_as_text_is_refused():
    with pytest.raises(TypeError, match="e_A must be a number"):
        optimizer("kfac", e_A="1/2")


def test_an_optimizer_stands_for_itself():
    rule = optimizer("kfac", e_A=0.25)
    assert optimizer(rule) is rule
    assert rule.metrics[0].power == quarter
    with pytest.raises(ValueError, match="kfac has its exponents already"):
        optimizer(rule, e_A=1)


def test_the_pi_heuristic_needs_two_dampings():
    with pytest.raises(ValueError, match="splits that of kfac in two, and adam has epsilon"):
        first_step(chain_of("adam", (0, half, 1), zeros, damping="pi"))
    with pytest.raises(ValueError, match="damping is 'matched', 'constant', 'pi' or exponents, not 'trace'"):
        first_step(chain_of("kfac", (0, half, 1), zeros, damping="trace"))
