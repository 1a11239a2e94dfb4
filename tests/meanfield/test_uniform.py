"""Blocks of Fourier neural operators as the dense blocks that they are on constant functions."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.uniform import extreme_shares, uniform_twin


@pytest.mark.parametrize(
    ("layer", "shares"),
    [
        (mf.Spectral(4), (1, 1)),
        (mf.Spectral((4, 300, 300)), (1, 1)),
        (mf.Spectral(4, dc="complex"), (0.5, 1)),
        (mf.Spectral(1, dc="complex"), (0.5, 0.5)),
        (mf.Spectral((9, 1), dc="complex", half_open=True), (0.5, 0.5)),
        (mf.Spectral((9, 2), dc="complex", half_open=True), (0.5, 1)),
        (mf.Spectral(3, spectrum=[3, 1, 0.5]), (3, 3)),
        (mf.Spectral(3, spectrum=[3, 1, 0.5], dc="complex"), (1.5, 1.5)),
        (mf.Spectral(2, spectrum=[[1, 0], [0, 5]]), (1, 5)),
    ],
)
def test_the_shares_of_the_mean_and_of_the_strongest_mode(layer, shares):
    assert extreme_shares(layer) == shares


def test_a_spectrum_without_a_mode_and_one_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="is 0 for every mode"):
        extreme_shares(mf.Spectral(2, spectrum=[0, 0]))
    with pytest.raises(ValueError, match=r"in the shape \(3,\), not \(2,\)"):
        extreme_shares(mf.Spectral(3, spectrum=[1, 2]))


def test_the_twin_of_each_block():
    assert uniform_twin("tanh") == "tanh"
    assert uniform_twin(mf.tanh >> mf.Dense()) == mf.tanh >> mf.Dense()
    assert uniform_twin(mf.tanh >> mf.Spectral(4)) == mf.tanh >> mf.Dense()
    assert uniform_twin(mf.relu >> mf.Spectral(1, 2, 0, dc="complex")) == mf.relu >> mf.Dense(1, 0)
    block = 0.5 * mf.FourierBlock(4, "relu", weight_var=1, pointwise_var=3, bias_var=2) + 0.7 * mf.Identity()
    assert uniform_twin(block) == 0.7 * mf.Identity() + (mf.relu >> mf.Dense(1, 0.5))


def test_a_real_network_on_a_constant_function_is_its_twin():
    """Covariances of two constant functions behind a layer of real random weights, over many draws."""
    n, channels, draws, rng = 6, 64, 150, np.random.default_rng(0)
    g = rng.standard_normal((2, channels))
    g[1] = 0.6 * g[0] + 0.8 * g[1]
    h = np.maximum(np.repeat(g[:, None], n, axis=1), 0)
    modes, total = np.fft.rfft(h, axis=1), np.zeros((2, 2))
    for _ in range(draws):
        kept = np.zeros_like(modes)
        for k in range(3):
            r = rng.standard_normal((channels, channels)) + 1j * (k > 0) * rng.standard_normal((channels, channels))
            kept[:, k] = modes[:, k] @ r * np.sqrt(1.5 / channels / (1 + (k > 0)))
        w = rng.standard_normal((channels, channels)) * np.sqrt(0.5 / channels)
        y = np.fft.irfft(kept, n, axis=1) + h @ w
        assert np.ptp(y, axis=1).max() < 1e-12
        total += y[:, 0] @ y[:, 0].T / channels / draws
    wanted = 2 * h[:, 0] @ h[:, 0].T / channels
    assert np.abs(total / wanted - 1).max() < 6 * np.sqrt(2 / channels / draws)
    assert np.abs(total / (0.75 * wanted) - 1).min() > 0.2  # and not what a mean drawn complex would give


def test_phase_edge_and_diagram_are_those_of_the_twin():
    block = mf.FourierBlock(5, "erf", weight_var=1, pointwise_var=0.37583900734668, bias_var=0.05)
    found, twin = mf.phase(block), mf.phase(mf.erf >> mf.Dense(1.37583900734668, 0.05))
    assert (found.q, found.chi_1, found.c) == (twin.q, twin.chi_1, twin.c) and found.block == block
    assert (found.q, found.chi_1) == (pytest.approx(0.517176837980564), pytest.approx(1, abs=1e-12))
    assert mf.edge_of_chaos(mf.erf >> mf.Spectral(7), bias_var=0.05).weight_var == pytest.approx(1.37583900734668)
    beside = mf.edge_of_chaos(mf.FourierBlock(7, "erf", pointwise_var=1), bias_var=0.05)
    assert beside.weight_var == pytest.approx(0.37583900734668)
    grids = {"weight_var": [1.0, 2.0], "bias_var": [0.05, 0.1]}
    diagram, dense = mf.phase_diagram(mf.erf >> mf.Spectral(7), **grids), mf.phase_diagram("erf", **grids)
    assert np.array_equal(diagram.chi_1, dense.chi_1) and len(diagram.edge[0])
    assert diagram.block == "erf >> Spectral(modes=7, weight_var=weight_var, bias_var=bias_var)"


def test_the_picture_of_a_block_is_drawn():
    pytest.importorskip("matplotlib")
    assert "erf >> Spectral(modes=7" in mf.plot(mf.erf >> mf.Spectral(7, 1.5, 0.05)).get_title()


def test_blocks_without_a_twin_say_what_to_use():
    uneven = mf.tanh >> mf.Spectral(5, 1, 0.05, dc="complex")
    for verb in (mf.phase, mf.edge_of_chaos, lambda b: mf.phase_diagram(b, weight_var=[1], bias_var=[0])):
        with pytest.raises(
            mf.NoRule, match=r"0\.5 of the variance of another mode.*mf.init_scale.*mf.fourier_operator"
        ):
            verb(uneven)
        with pytest.raises(ValueError, match=r"pointwise_var of .* must be a number here"):
            verb(mf.FourierBlock(5, "tanh"))
        with pytest.raises(mf.NoRule, match=r"write mf.FourierBlock\(modes, phi"):
            verb(mf.LayerNorm() >> mf.tanh >> mf.Spectral(5))
