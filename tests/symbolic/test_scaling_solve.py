"""Exact solutions: the polyhedron of stable exponents, contradictions in words, networks as axes."""

from dataclasses import replace

import pytest
from sympy import Integer, Max, Rational, Symbol
from sympy.abc import x, y

from symbolic.activations import ACTIVATIONS
from symbolic.fourier import Spectral
from symbolic.networks import Dense, Dropout, LayerNorm
from symbolic.pictures import AvgPool, Conv, Flatten
from symbolic.scaling.architectures import architecture
from symbolic.scaling.classify import classify
from symbolic.scaling.conditions import Condition, held, mup, ntk, stability
from symbolic.scaling.layers import merged, mlp
from symbolic.scaling.optimizers import optimizer
from symbolic.scaling.solve import Contradiction, feasible, solve, unknown_chain, unknowns, vertices
from symbolic.scaling.traces import trace
from symbolic.scaling.tropical import choices, regions
from symbolic.signals import NoRule

half = Rational(1, 2)
tanh, relu = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]


def start(name, layers=None, **powers):
    layers = layers or mlp()
    return unknown_chain(layers, optimizer(name, **powers), a=(Integer(0),) * len(layers))


def test_the_stable_exponents_of_sgd_have_two_vertices():
    """In (c_in, c_hid, c_out, b_out): the maximal update and the neural tangent parametrization, and no others."""
    chain = start("sgd")
    assert vertices(chain, stability) == ((-1, 0, 1, 1), (0, 1, 1, half))


def test_without_the_output_there_is_another_vertex():
    chain = start("sgd")

    def loose(chain):
        return [c for c in stability(chain) if not ("output" in c.words and "changes" in c.words)]

    assert vertices(chain, loose) != vertices(chain, stability)


def test_each_vertex_is_stable_and_is_so_in_no_tight_direction():
    chain = start("sgd")
    for c_in, c_hid, c_out, b_out in vertices(chain, stability):
        there = replace(chain, c=(c_in, c_hid, c_out), b=(Integer(0), half, b_out))
        assert classify(there).stable
        for layer in range(2):
            faster = tuple(c - half * int(k == layer) for k, c in enumerate(there.c))
            assert not classify(replace(there, c=faster)).stable


@pytest.mark.parametrize("name", ["adam", "adafactor", "muon", "shampoo", "soap", "kfac", "foof"])
def test_the_maximal_update_and_the_kernel_regime_are_the_vertices_of_other_optimizers_too(name):
    chain = start(name)
    ends = (solve(chain, conditions(chain)).chain for conditions in (mup, ntk))
    assert set(vertices(chain, stability)) == {(*end.c, end.b[-1]) for end in ends}


def test_the_vertices_of_predictive_coding_are_refused():
    with pytest.raises(ValueError, match="stable exponents of predictive_coding are no polyhedron"):
        vertices(start("predictive_coding"), stability)


def test_what_no_condition_fixes_stays_free():
    chain = start("sgd")
    found = solve(chain, mup(chain)[:-1])
    assert found.free == (chain.b[-1],)
    assert found.chain.c == (-chain.b[-1], 1 - chain.b[-1], 1)
    assert unknowns(chain)[:3] == chain.c


def test_a_contradiction_is_told_in_words_and_weights():
    chain = start("adam")
    with pytest.raises(Contradiction) as told:
        solve(chain, [*mup(chain), held(chain, "output", "init_std", -half)])
    assert str(told.value).splitlines() == [
        "no exponents meet these conditions at once; give one of them up:",
        "  output: it carries a change of Theta(1) in its inputs on as Theta(1): 1 - b_output = 0 (x 1)",
        "  output: init_std is held at width**(-1/2): b_output - 1/2 = 0 (x 1)",
        "added up they say 1/2 = 0",
    ]


def test_one_rate_for_all_layers_contradicts_the_maximal_update_of_adam_but_not_of_kfac():
    def shared(chain):
        return [Condition(f"one learning rate for {p.name} and input", c - chain.c[0])
                for p, c in zip(chain.layers[1:], chain.c[1:], strict=True)]  # fmt: skip

    kfac = start("kfac")
    assert solve(kfac, [*mup(kfac), *shared(kfac)]).chain.c == (0, 0, 0)
    adam = start("adam")
    with pytest.raises(Contradiction) as told:
        solve(adam, [*mup(adam), *shared(adam)])
    certificate = told.value
    forms = [c.form for c in certificate.conditions]
    total = sum(w * f for w, f in zip(certificate.weights, forms, strict=True)).expand()
    assert total == certificate.total != 0
    for left_out in certificate.conditions:
        assert feasible([c for c in certificate.conditions if c is not left_out], unknowns(adam))


def test_a_contradiction_of_predictive_coding_takes_its_maximum_at_its_value():
    chain = start("predictive_coding", gamma=2)
    with pytest.raises(Contradiction) as told:
        solve(chain, [*mup(chain), held(chain, "hidden", "learning_rate", Integer(0))])
    assert not any(c.form.has(Max) for c in told.value.conditions)


def test_feasible_with_bounds():
    up = [Condition("x is at most -3", x + 3, True), Condition("y is at most 1", y - 1, True)]
    assert feasible(up, (x, y))
    assert not feasible([*up, Condition("x + y is at least 0", -x - y, True)], (x, y))
    assert not feasible([*up, Condition("x is 0", x)], (x, y))
    assert not feasible([Condition("1 is at most 0", Integer(1), True)], (x, y))
    assert feasible([], (x, y))


def test_maxima_become_linear_forms():
    assert set(choices(2 * Max(x, y) - 1)) == {(2 * x - 1, 2 * y - 1)}
    assert choices(-Max(x, y)) == ((-x,), (-y,))
    assert regions([Max(x, y), -Max(x, y)]) == ((x, y, -x), (x, y, -y))
    with pytest.raises(ValueError, match="no sum of linear forms and maxima"):
        choices(Symbol("e") * Max(x, y))


def kinds(network):
    return [p.kind for p in trace(network).path]


def test_networks_by_their_axes():
    dense = Dense() >> (tanh >> Dense()) ** 3
    assert kinds(dense) == ["input", "hidden", "hidden", "output"]
    assert [p.name for p in trace(dense).path] == ["input", "hidden 1", "hidden 2", "output"]
    assert kinds(Dense() >> Dropout(0.9) >> LayerNorm() >> 2 * Dense()) == ["input", "output"]
    picture = Conv(3) >> relu >> AvgPool(2) >> Conv(3) >> relu >> Flatten() >> Dense()
    assert kinds(picture) == ["input", "hidden", "output"]
    axes = [[axis.name for axis in p.fan_in_axes] for p in trace(picture).path]
    assert axes == [["features", "taps"], ["width", "taps"], ["width", "positions"]]
    assert [p.name for p in merged(mlp(3))] == ["input", "hidden", "output"]


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (Dense() >> tanh, NoRule, "has 1 weight matrices, and a width lies between two"),
        (Dense() >> Spectral(4) >> Dense(), NoRule, r"cannot be classified: .* known are Attention, AvgPool, Conv"),
        ("mpl", ValueError, "unknown architecture 'mpl'; did you mean 'mlp'"),
        (4, TypeError, "an architecture is a network or one of 'mlp', .* not 4"),
    ],
)
def test_architectures_that_are_refused(network, error, message):
    with pytest.raises(error, match=message):
        architecture(network)
