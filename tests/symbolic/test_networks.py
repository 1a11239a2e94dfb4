"""Networks as data: what joins, what is refused and why, and a new layer that registers itself."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sympy import Expr, Float, I, Integer, Rational, Symbol, oo, tanh

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.functions import X
from symbolic.gaussian import k, p, q, t
from symbolic.limits import derive
from symbolic.limits.nngp import Moments, Pair, cross, moments
from symbolic.limits.ntk import diagonal, tangent
from symbolic.networks import (
    BIAS_VAR,
    WEIGHT_VAR,
    Chain,
    Dense,
    Dropout,
    Identity,
    Layer,
    LayerNorm,
    Pointwise,
    Repeat,
    RMSNorm,
    Scale,
    Sum,
    fresh,
)
from symbolic.signals import FEATURES, GAUSSIAN, NoRule, kind_after, kinds_through
from symbolic.structure import blocks, with_symbols

TANH, RELU = ACT["tanh"], ACT["relu"]
BLOCK = TANH >> Dense(2, 0.1)


# -- what a layer accepts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "exact"), [
    (2, Integer(2)), (0.05, Rational(1, 20)), (Fraction(1, 4), Rational(1, 4)), (np.float64(0.1), Rational(1, 10)),
    (np.int64(3), Integer(3)),
    (Rational(1, 3), Rational(1, 3)), (Symbol("s", positive=True), Symbol("s", positive=True)),
    (1e-3, Rational(1, 1000)),
])  # fmt: skip
def test_a_number_is_kept_as_it_was_written(given: Any, exact: Expr) -> None:
    """A decimal becomes exact and converts back to the same float."""
    assert Dense(given).weight_var == exact
    assert not exact.is_number or float(Dense(given).weight_var) == float(given)


def test_a_variance_left_out_is_a_symbol() -> None:
    """Dense() leaves both variances open."""
    assert (Dense().weight_var, Dense().bias_var) == (WEIGHT_VAR, BIAS_VAR)


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Dense(0), ValueError, "weight_var must be finite and greater than 0, not 0"),
    (lambda: Dense(-1.5), ValueError, "weight_var must be finite and greater than 0, not -1.5"),
    (lambda: Dense(float("nan")), ValueError, "weight_var must be finite and greater than 0, not nan"),
    (lambda: Dense(float("inf")), ValueError, "weight_var must be finite"),
    (lambda: Dense(oo), ValueError, "weight_var must be finite"),
    (lambda: Dense(I), ValueError, "weight_var must be finite"),
    (lambda: Dense(1, -0.1), ValueError, "bias_var must be finite and at least 0, not -0.1"),
    (lambda: Dense(1, float("nan")), ValueError, "bias_var must be finite and at least 0, not nan"),
    (lambda: Dense("1"), TypeError, "weight_var must be a number or a SymPy expression, not '1'"),
    (lambda: Dense(True), TypeError, "weight_var must be a number or a SymPy expression, not True"),
    (lambda: Dense(None), TypeError, "weight_var must be a number"),
    (lambda: Dense(1j), TypeError, "weight_var must be a number"),
    (lambda: Dropout(0), ValueError, "keep must be finite and greater than 0 and at most 1, not 0"),
    (lambda: Dropout(1.01), ValueError, "keep must be finite and greater than 0 and at most 1, not 1.01"),
    (lambda: Dropout(float("nan")), ValueError, "keep must be finite"),
    (lambda: float("inf") * Dense(), ValueError, "a scale must be finite, not inf"),
    (lambda: "2" * Dense(), TypeError, "a scale must be a number or a SymPy expression, not '2'"),
    (lambda: Dense() * Dense(), TypeError, "a scale must be a number"),
    (lambda: Scale(2, 3), TypeError, "layers are joined with layers, not with 3"),
    (lambda: Dense() >> 2, TypeError, r"layers are joined with layers, not with 2; numbers scale: 0.5 \* layer"),
    (lambda: Dense() + 2, TypeError, r"layers are joined with layers, not with 2; numbers scale: 0.5 \* layer"),
    (lambda: Dense() >> "tanh", TypeError, "layers are joined with layers, not with 'tanh'"),
    (lambda: 2 >> Dense(), TypeError, "unsupported operand"),
    (lambda: BLOCK**0, ValueError, "a block is repeated at least once, not 0 times"),
    (lambda: BLOCK**-1, ValueError, "a block is repeated at least once, not -1 times"),
    (lambda: BLOCK**2.0, TypeError, "a block is repeated a whole number of times, not 2.0"),
    (lambda: BLOCK**True, TypeError, "a block is repeated a whole number of times, not True"),
    (lambda: Pointwise("tanh", "tanh(x)"), TypeError,
        "an activation is a SymPy expression in x, not 'tanh.x.'; see mf.activation"),
    (lambda: TANH >> RELU, NoRule, "'relu' needs a Gaussian pre-activation, .* put a Dense layer between"),
    (lambda: Dropout(0.5) >> RELU, NoRule, "'relu' needs a Gaussian pre-activation"),
    (lambda: TANH >> LayerNorm() >> RELU, NoRule, "'relu' needs a Gaussian pre-activation"),
    (lambda: TANH**2, NoRule, "'tanh' needs a Gaussian pre-activation"),
    (lambda: Identity() + RELU, NoRule, "the branches 'Identity..' and 'relu' are not independent with mean zero"),
    (lambda: Identity() + Identity(), NoRule, "let all but one branch end in a Dense layer"),
    (lambda: Identity() + (Dense() >> RELU), NoRule, "are not independent with mean zero"),
    (lambda: Identity() + (Dense() >> ACT["gelu"] >> Dropout(0.5)), NoRule, "are not independent with mean zero"),
    (lambda: TANH + (RELU >> Dense()) + RELU, NoRule, "the branches 'tanh' and 'relu' are not independent"),
])  # fmt: skip
def test_what_the_theory_does_not_cover_is_refused_where_it_is_written(
    make: Any, error: type[Exception], message: str
) -> None:
    """Each refusal says what was wanted and what was given."""
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("make", [
    lambda: BLOCK + Identity(),
    lambda: (Dense() >> TANH) + Identity(),
    lambda: (Dense() >> ACT["erf"] >> Dropout(0.9)) + Identity(),
    lambda: (Dense() >> TANH >> RMSNorm()) + (Dense() >> ACT["sin"]) + Identity(),
    lambda: Dense() + Dense() + Dense(),
    lambda: 0.5 * Identity() + 2 * BLOCK,
    lambda: (RELU >> Dense()) ** 3 + TANH,
    lambda: (RELU >> Dense()) + RELU,
    lambda: RELU >> LayerNorm() >> Dense() >> TANH >> Dropout(1),
])  # fmt: skip
def test_what_it_covers_is_accepted(make: Any) -> None:
    """Branches with fresh weights, also behind an odd function, add."""
    assert isinstance(make(), Layer)


@pytest.mark.parametrize(("layer", "answer"), [
    (Dense(), True), (Identity(), False), (TANH, False), (Dense() >> TANH, True), (Dense() >> RELU, False),
    (BLOCK**2, True),
    (2 * Dense(), True), (Dense() + Dense(), True), (Dense() + Identity(), False), (TANH >> Dropout(0.5), False),
])  # fmt: skip
def test_fresh_weights_make_a_branch_independent(layer: Layer, answer: bool) -> None:
    """Mean zero and independent of the input, given the input."""
    assert fresh(layer) is answer


@pytest.mark.parametrize(("layer", "kinds"), [
    (Dense(), {GAUSSIAN: GAUSSIAN, FEATURES: GAUSSIAN}), (TANH, {GAUSSIAN: FEATURES}), (BLOCK, {GAUSSIAN: GAUSSIAN}),
    (Identity(), {GAUSSIAN: GAUSSIAN, FEATURES: FEATURES}), (Dropout(0.5), {GAUSSIAN: FEATURES, FEATURES: FEATURES}),
    (Dense() >> TANH, {GAUSSIAN: FEATURES, FEATURES: FEATURES}), (TANH + Dense(), {GAUSSIAN: FEATURES}),
])  # fmt: skip
def test_kinds_of_signal_flow_through(layer: Layer, kinds: dict[str, str]) -> None:
    """What may enter, and what leaves then."""
    assert kinds_through(layer) == kinds


# -- how layers join -----------------------------------------------------------------------------------------------


def test_chains_and_sums_are_flat() -> None:
    """(a >> b) >> c and a >> (b >> c) are the same network."""
    left, right = (Dense() >> TANH) >> Dense(), Dense() >> (TANH >> Dense())
    assert left == right == Chain((Dense(), TANH, Dense())) and hash(left) == hash(right)
    assert (Dense() + Dense()) + Identity() == Dense() + (Dense() + Identity()) == Sum((Dense(), Dense(), Identity()))


def test_equal_layers_are_equal_and_usable_as_keys() -> None:
    """A layer is a value."""
    assert Dense(0.5) == Dense(Rational(1, 2)) != Dense(0.25)
    assert len({BLOCK: 1, TANH >> Dense(2, 0.1): 2, BLOCK**2: 3}) == 2


def test_a_layer_is_frozen() -> None:
    """Nobody changes a network behind a derived map."""
    with pytest.raises(AttributeError):
        Dense().weight_var = 2  # type: ignore[misc]


@pytest.mark.parametrize("factor", [2, 0.5, Symbol("a"), np.float64(0.5), Rational(1, 3)])
def test_a_factor_scales_from_either_side(factor: Any) -> None:
    """2 * layer and layer * 2."""
    assert factor * Dense() == Dense() * factor and isinstance(factor * Dense(), Scale)


@pytest.mark.parametrize(("network", "text"), [
    (Dense(2, 0) >> BLOCK**3, "Dense(weight_var=2, bias_var=0) >> (tanh >> Dense(weight_var=2, bias_var=0.1)) ** 3"),
    (0.5 * Identity() + BLOCK, "0.5 * Identity() + (tanh >> Dense(weight_var=2, bias_var=0.1))"),
    ((Identity() + BLOCK) >> LayerNorm(), "(Identity() + (tanh >> Dense(weight_var=2, bias_var=0.1))) >> LayerNorm()"),
    (2 * BLOCK, "2 * (tanh >> Dense(weight_var=2, bias_var=0.1))"),
    ((2 * Dense(1, 0)) ** 2, "(2 * Dense(weight_var=1, bias_var=0)) ** 2"),
    (Dropout(0.9), "Dropout(keep=0.9)"),
])  # fmt: skip
def test_a_network_prints_as_it_is_written(network: Layer, text: str) -> None:
    """Parentheses only where they are needed."""
    assert str(network) == repr(network) == text


def test_blocks_are_what_is_iterated() -> None:
    """Repeated blocks are kept apart from what stands around them, nested repeats multiply."""
    head, tail = Dense(1, 0), RELU >> Dense()
    assert list(blocks(head >> BLOCK**10 >> tail)) == [(head, 1), (BLOCK, 10), (tail, 1)]
    assert list(blocks(BLOCK)) == [(BLOCK, 1)] and list(blocks(head)) == [(head, 1)]
    assert list(blocks((BLOCK**3) ** 4)) == [(BLOCK, 12)]
    assert list(blocks((BLOCK**2 >> tail) ** 2)) == [(BLOCK, 2), (tail, 1)] * 2
    assert list(blocks(BLOCK + Identity())) == [(BLOCK + Identity(), 1)]


def test_symbols_replace_numbers_and_numbers_come_back() -> None:
    """Two networks of one shape share one formula; formulas of activations keep their numbers."""
    network = (0.5 * Identity() + (Pointwise("f", tanh(3 * X)) >> Dropout(0.9) >> Dense(2, 0.1))) >> RMSNorm()
    shape, values = with_symbols(network)
    assert [float(v) for v in values.values()] == [0.5, 0.9, 2, 0.1]
    assert with_symbols(shape) == (shape, {})
    back = {s: values[s.name] for s in derive(shape).params}
    assert [e.subs(back) for e in derive(shape).raw] == list(derive(network).raw)


def test_symbols_that_are_already_there_stay() -> None:
    """Only numbers are replaced, also inside a repeat, whose count stays."""
    shape, values = with_symbols((TANH >> Dense(bias_var=1)) ** 3)
    assert list(values) == ["bias_var_0"] and isinstance(shape, Repeat) and shape.times == 3
    assert shape.block.layers[1].weight_var == WEIGHT_VAR  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "odd"), [
    ("tanh", True), ("erf", True), ("sin", True), ("linear", True), ("hard_tanh", True), ("sign", True),
    ("relu", False), ("gelu", False), ("cos", False), ("snake", False), ("abs", False),
])  # fmt: skip
def test_oddness_is_found_in_the_formula(name: str, odd: bool) -> None:
    """phi(-x) = -phi(x)."""
    assert ACT[name].odd is odd


# -- a layer of one's own ------------------------------------------------------------------------------------------


def test_an_unknown_layer_is_refused_with_the_known_ones() -> None:
    """No identity fallback, neither at construction nor in a limit."""

    @dataclass(frozen=True, repr=False)
    class Strange(Layer):
        pass

    with pytest.raises(
        NoRule,
        match=r"nothing is known about the layer 'Strange..' .Strange.; known are .*Conv, Dense, Dropout",
    ):
        Dense() >> Strange()
    for rule, state in (
        (moments, (Moments(q),)),
        (cross, (Pair(Moments(p), Moments(q), k),)),
        (diagonal, (Moments(q), t)),
    ):
        with pytest.raises(NoRule, match="limit has no rule for Strange; it has rules for Chain, Dense, Dropout"):
            rule(Strange(), *state)


def test_a_new_layer_registers_without_editing_a_file() -> None:
    """A gain with one weight per neuron, x -> g x, g ~ N(0, strength): its four rules are all that is needed."""

    @dataclass(frozen=True, repr=False)
    class Gain(Layer):
        strength: Any

    kind_after.register(Gain, lambda layer, kind: FEATURES)
    moments.register(Gain, lambda layer, s: Moments(layer.strength * s.q))
    cross.register(Gain, lambda layer, s: layer.strength * s.k)
    tangent.register(Gain, lambda layer, s, t: layer.strength * (t + s.k))
    diagonal.register(Gain, lambda layer, s, t: layer.strength * (t + s.q))
    strength, block = (
        Symbol("strength", positive=True),
        RELU >> Gain(Symbol("strength", positive=True)) >> Dense(2, 0),
    )
    assert derive(block, "length").update == (strength * q,)
    assert derive(block + Identity(), "nngp").update[0] == strength * p + p
    assert derive(block, "gradient").update[1].subs(strength, 3) == 3 * Symbol("g", positive=True)
    assert derive(Gain(strength), "ntk").update[3] == strength * (t + k)
    with pytest.raises(NoRule, match="'relu' needs a Gaussian pre-activation"):
        Gain(2) >> RELU


def test_a_number_with_full_float_precision_survives() -> None:
    """A SymPy Float is kept as it is."""
    assert Dense(Float("0.1", 30)).weight_var == Float("0.1", 30)
