"""Layers of pictures as data: what they accept, what they print, what they do to shapes and kinds."""

import numpy as np
import pytest

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Chain, Dense, Dropout, Identity, Layer, LayerNorm
from symbolic.pictures import AvgPool, Conv, Flatten, GlobalAvgPool, is_spatial, pairs_before, shape_after
from symbolic.signals import FEATURES, GAUSSIAN, NoRule, fresh, kind_after
from symbolic.structure import substituted, with_symbols

CONV, RELU = Conv(3, weight_var=2, bias_var=0.1), ACT["relu"]


def test_a_variance_left_out_is_a_symbol():
    assert (Conv(3).weight_var, Conv(3).bias_var) == (WEIGHT_VAR, BIAS_VAR)
    assert substituted(Conv(3), {WEIGHT_VAR: 2, BIAS_VAR: 0}) == Conv(3, weight_var=2, bias_var=0)


def test_numbers_may_be_of_numpy_and_lists_are_tuples():
    assert Conv(np.int64(3), [1, 2], weight_var=2, bias_var=0) == Conv(3, (1, 2), weight_var=2, bias_var=0)


def test_a_pool_moves_by_its_window_unless_told():
    assert AvgPool((2, 3)).strides == (2, 3)
    assert AvgPool(2, 1).strides == 1


def test_layers_print_what_they_were_given():
    assert str(CONV) == "Conv(filter_shape=3, strides=1, padding=SAME, weight_var=2, bias_var=0.1)"
    assert str(AvgPool(2) >> GlobalAvgPool()) == "AvgPool(window=2, strides=2, padding=VALID) >> GlobalAvgPool()"


def test_sizes_are_no_parameters():
    assert set(with_symbols(CONV)[1]) == {"weight_var_0", "bias_var_1"}


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Conv("3"), TypeError, "filter_shape is a whole number, or a tuple of one for each axis .* not '3'"),
    (lambda: Conv(3.0), TypeError, "filter_shape is a whole number, .* not 3.0"),
    (lambda: Conv(True), TypeError, "filter_shape is a whole number, .* not True"),
    (lambda: Conv((3, 2.5)), TypeError, r"filter_shape is a whole number, .* not \(3, 2.5\)"),
    (lambda: Conv(0), ValueError, "filter_shape must be at least 1 on each axis, not 0"),
    (lambda: Conv(()), ValueError, r"filter_shape must have a number for each axis of the picture, not \(\)"),
    (lambda: Conv(3, -1), ValueError, "strides must be at least 1 on each axis, not -1"),
    (lambda: Conv(3, None), TypeError, "strides is a whole number, .* not None"),
    (lambda: Conv(3, padding="same"), ValueError, "unknown padding 'same', did you mean 'SAME'. known are SAME, VALID"),
    (lambda: Conv(3, padding="circle"), ValueError, "unknown padding 'circle', did you mean 'CIRCULAR'"),
    (lambda: Conv(3, padding=1), ValueError, "unknown padding 1; known are SAME, VALID, CIRCULAR"),
    (lambda: Conv(3, weight_var=0), ValueError, "weight_var must be finite and greater than 0, not 0"),
    (lambda: Conv(3, bias_var=-1), ValueError, "bias_var must be finite and at least 0, not -1"),
    (lambda: AvgPool(0), ValueError, "window must be at least 1 on each axis, not 0"),
    (lambda: AvgPool(2, padding="VALLID"), ValueError, "did you mean 'VALID'"),
])  # fmt: skip
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(("layer", "shape", "after"), [
    (CONV, (5,), (5,)), (Conv(3, 2), (5, 4), (3, 2)), (Conv((3, 2), (2, 1), "VALID"), (6, 5), (2, 4)),
    (Conv(3, 2, "CIRCULAR"), (5,), (3,)), (AvgPool(2), (5, 4), (2, 2)), (AvgPool(2, padding="SAME"), (5,), (3,)),
    (GlobalAvgPool(), (4, 4), ()), (Flatten(), (4,), ()), (Flatten() >> Dense(2, 0), (3, 3), ()),
    ((Conv(3, 2) >> RELU) ** 1, (8,), (4,)), ((RELU >> Conv(3, 2)) ** 3, (17, 8), (3, 1)),
    (0.5 * Conv(2, 2), (4,), (2,)), (CONV + Identity(), (4, 5), (4, 5)), (Dense(2, 0), (), ()),
    (RELU >> Dense(2, 0), (3,), (3,)),
])  # fmt: skip
def test_shapes(layer, shape, after):
    assert shape_after(layer, shape) == after


def test_an_unknown_layer_is_refused_between_pictures():
    class Strange(Layer):
        pass

    assert shape_after(Strange(), ()) == ()
    with pytest.raises(
        NoRule, match=r"nothing is known of 'Strange..' .* in pictures; known are .*AvgPool, Chain, Conv"
    ):
        shape_after(Strange(), (3,))


def test_kinds():
    assert kind_after(CONV, FEATURES) == GAUSSIAN
    assert [kind_after(AvgPool(2), kind) for kind in (GAUSSIAN, FEATURES)] == [GAUSSIAN, FEATURES]
    assert kind_after(GlobalAvgPool(), GAUSSIAN) == GAUSSIAN
    assert kind_after(Flatten(), GAUSSIAN) == FEATURES  # a mixture of positions of different variance


@pytest.mark.parametrize(("layer", "expected"), [
    (CONV, True), (CONV >> AvgPool(2), True), (CONV >> Dropout(0.5) >> GlobalAvgPool(), True), (AvgPool(2), False),
    (CONV >> RELU >> AvgPool(2), False), (0.5 * CONV >> LayerNorm() >> Flatten(), True),
])  # fmt: skip
def test_what_ends_in_fresh_weights(layer, expected):
    assert fresh(layer) is expected


def test_two_branches_without_fresh_weights_are_refused():
    with pytest.raises(NoRule, match="are not independent with mean zero"):
        Identity() + AvgPool(1)


def test_what_mixes_positions():
    assert all(is_spatial(x) for x in (CONV, 2 * CONV, RELU >> CONV, CONV + Identity(), (RELU >> CONV) ** 2))
    assert not any(is_spatial(x) for x in (RELU, Dense(2, 0), RELU >> Dense(2, 0), Identity() + Dense(2, 0)))


@pytest.mark.parametrize(("layers", "alone"), [
    ((CONV, RELU, Flatten()), True), ((CONV, RELU, GlobalAvgPool()), False), ((CONV, AvgPool(2), Flatten()), False),
    ((CONV, Identity() + CONV, Flatten()), True), ((CONV, AvgPool(2) + CONV, Flatten()), False),
    (((RELU >> CONV) ** 3, Flatten(), Dense(2, 0)), True),
])  # fmt: skip
def test_pairs_of_positions_are_followed_only_where_they_are_pooled(layers, alone):
    assert pairs_before(Chain(layers), False) is not alone
    assert pairs_before(CONV >> RELU, True)
