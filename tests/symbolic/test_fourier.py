"""Layers of Fourier neural operators as data: what is kept, what is refused, how blocks are recognised."""

import pytest
from sympy import Rational, symbols

import meanfield as mf
from symbolic.fourier import modes_on
from symbolic.fourier_block import POINTWISE_VAR, fourier_form
from symbolic.pictures import shape_after
from symbolic.signals import NoRule


def test_a_spectral_layer_says_what_it_is():
    assert str(mf.Spectral(4, 2, 0)) == "Spectral(modes=4, weight_var=2, bias_var=0)"
    assert (
        str(mf.Spectral(4, dc="complex")) == "Spectral(modes=4, weight_var=weight_var, bias_var=bias_var, dc='complex')"
    )


def test_conventions_of_counting_modes_are_converted():
    assert mf.Spectral.from_reference(16, weight_var=1, bias_var=0) == mf.Spectral(16, 1, 0, dc="complex")
    assert mf.Spectral.from_reference((12, 12)) == mf.Spectral((12, 12), dc="complex", half_open=True)
    assert mf.Spectral.from_neuralop(16) == mf.Spectral(9, dc="complex")
    assert mf.Spectral.from_neuralop((16, 16)) == mf.Spectral((8, 9), dc="complex", half_open=True)
    assert mf.Spectral.from_neuralop((5, 7, 6)) == mf.Spectral((3, 4, 4), dc="complex")
    assert mf.Spectral.from_neuralop((16,), dc="real") == mf.Spectral((9,))
    with pytest.raises(ValueError, match="all even or all odd"):
        mf.Spectral.from_neuralop((5, 6, 6))


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_all_modes_of_a_grid_can_be_kept_and_no_more(n):
    assert shape_after(mf.Spectral(n // 2 + 1), (n,)) == (n,)
    with pytest.raises(ValueError, match=rf"N = {n} points: at most .* = {n // 2 + 1}"):
        shape_after(mf.Spectral(n // 2 + 2), (n,))


def test_half_open_boxes_keep_one_mode_less():
    assert modes_on(mf.Spectral(4, half_open=True), (8, 8)) == (4, 4)
    with pytest.raises(ValueError, match=r"axis 0 of the grid .* at most N/2 = 4 with half_open"):
        modes_on(mf.Spectral(5, half_open=True), (8, 8))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"modes": 0}, ValueError, "modes must be at least 1"),
        ({"modes": 2.5}, TypeError, "modes is a whole number"),
        ({"modes": True}, TypeError, "modes is a whole number"),
        ({"modes": ()}, ValueError, "a number for each axis"),
        ({"modes": 2, "dc": "reel"}, ValueError, "did you mean 'real'"),
        ({"modes": 2, "weight_var": 0}, ValueError, "weight_var must be finite and greater than 0"),
        ({"modes": 2, "bias_var": -1}, ValueError, "bias_var must be finite and at least 0"),
        ({"modes": 2, "spectrum": [1, -1]}, ValueError, "an entry of spectrum"),
        ({"modes": 2, "half_open": 1}, TypeError, "half_open is True or False"),
    ],
)
def test_what_is_no_spectral_layer_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        mf.Spectral(**options)


def test_flat_signals_and_other_grids_are_refused():
    with pytest.raises(ValueError, match=r"functions on a grid \(points, \*grid, channels\), not flat signals"):
        modes_on(mf.Spectral(2), ())
    with pytest.raises(ValueError, match="has 2 axes, but its grid has 1"):
        modes_on(mf.Spectral((2, 2)), (8,))


def test_a_block_is_recognised_however_it_is_written():
    w, b, v = symbols("w b v", nonnegative=True)
    spectral = mf.Spectral(3, w, b)
    assert fourier_form(mf.tanh >> spectral).pointwise_var == 0
    both = fourier_form(mf.tanh >> (spectral + mf.Dense(v, b)))
    assert (both.pointwise_var, both.spectral.bias_var) == (v, 2 * b)
    scaled = fourier_form(0.5 * mf.Identity() + 2 * (mf.tanh >> spectral))
    assert (scaled.skip, scaled.spectral.weight_var, scaled.spectral.bias_var) == (Rational(1, 2), 4 * w, 4 * b)
    block = fourier_form(mf.FourierBlock(3, "gelu", skip=1))
    assert (block.skip, block.pointwise_var, str(block.phi)) == (1, POINTWISE_VAR, "gelu")
    assert mf.FourierBlock(3, "tanh", weight_var=w, pointwise_var=0, bias_var=b) == mf.tanh >> spectral


@pytest.mark.parametrize(
    "block",
    [
        mf.tanh >> mf.Dense(1, 0),
        mf.Spectral(3),
        mf.tanh >> (mf.Spectral(3) + mf.Spectral(2)),
        mf.tanh >> (mf.Spectral(3) + mf.Conv(3)),
        mf.tanh >> mf.Spectral(3) >> mf.tanh >> mf.Spectral(3),
    ],
)
def test_other_blocks_are_not(block):
    with pytest.raises(NoRule, match="no layer of a Fourier neural operator"):
        fourier_form(block)


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="a block is a layer"):
        fourier_form("tanh")
