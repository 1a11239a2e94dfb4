"""The variance of each mode, against real random weights that are drawn as code with irfft draws them."""

import numpy as np
import pytest
from scipy.fft import irfftn, rfftn

import meanfield as mf
from meanfield.modes import mode_shares


def drawn(shape, rows, last, rng, draws):
    """E |(K h)_k|^2/|h_k|^2 of y = irfftn(R rfftn(h)), R_k free complex numbers of variance 1 at the modes of the box:
    rows of each axis but the last, 0 .. last - 1 of the last."""
    h = rng.standard_normal(shape)
    modes = rfftn(h)
    at = np.ix_(*(np.array(row) % n for row, n in zip(rows, shape, strict=False)), np.arange(last))
    total = np.zeros(shape)
    for _ in range(draws):
        weights = np.zeros(modes.shape, dtype=complex)
        size = weights[at].shape
        weights[at] = (rng.standard_normal(size) + 1j * rng.standard_normal(size)) / np.sqrt(2)
        total += np.abs(np.fft.fftn(irfftn(weights * modes, s=shape))) ** 2
    return total / draws / np.abs(np.fft.fftn(h)) ** 2


@pytest.mark.parametrize(
    ("layer", "shape", "rows", "last"),
    [
        (mf.Spectral.from_reference(5), (8,), [], 5),
        (mf.Spectral.from_neuralop(4), (9,), [], 3),
        (mf.Spectral.from_reference((2, 2)), (6, 6), [range(-2, 2)], 2),
        (mf.Spectral.from_neuralop((3, 4)), (6, 4), [range(-1, 2)], 3),
        (mf.Spectral.from_reference((2, 1, 2)), (4, 4, 4), [range(-2, 2), range(-1, 1)], 2),
    ],
)
def test_complex_weights_have_the_variances_of_irfft(layer, shape, rows, last):
    draws, shares = 4000, mode_shares(layer, shape)
    found = drawn(shape, rows, last, np.random.default_rng(0), draws)
    # A square of one real number has the relative deviation sqrt(2).
    assert np.abs(found - shares).max() < 6 * np.sqrt(2 / draws) * shares.max()
    assert np.abs(found[shares == 0]).max(initial=0) < 1e-20
    kept = shares > 0
    assert np.abs(found - (shares > 0))[kept].max() > 0.4  # and not those of the drawn numbers


def test_real_weights_have_one_variance_and_are_symmetric():
    for layer, shape in ((mf.Spectral(3), (8,)), (mf.Spectral((2, 3), half_open=True), (6, 7))):
        shares = mode_shares(layer, shape)
        assert set(np.unique(shares)) == {0, 1}
        assert np.array_equal(shares, np.real(np.fft.fftn(np.real(np.fft.ifftn(shares)))).round())


def test_a_spectrum_is_read_at_the_absolute_mode():
    assert mode_shares(mf.Spectral(3, spectrum=[1, 0.5, 0.25]), (6,)).tolist() == [1, 0.5, 0.25, 0, 0.25, 0.5]
    shares = mode_shares(mf.Spectral((2, 2), spectrum=[[1, 2], [3, 4]]), (4, 4))
    assert (shares[0, 1], shares[1, 0], shares[-1, -1], shares[-1, 1]) == (2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"in the shape \(3,\), not \(2,\)"):
        mode_shares(mf.Spectral(3, spectrum=[1, 2]), (6,))
    with pytest.raises(ValueError, match="nested unevenly"):
        mode_shares(mf.Spectral((2, 2), spectrum=[[1, 2], [3]]), (4, 4))
