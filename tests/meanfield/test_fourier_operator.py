"""Uniform and chaotic states of Fourier neural operators, gradients: reference numbers, finite differences, laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf

N = 16
R = np.arange(N)
START = (
    0.4 + 0.3 * np.cos(2 * np.pi * R / N) + 0.2 * np.cos(2 * np.pi * 3 * R / N) + 0.1 * np.cos(2 * np.pi * 6 * R / N)
)

# Sigmatilde_0 at layers 9, 8, .., 0 behind a white head at layer 10.
BACKWARD = [
    (
        mf.erf >> mf.Spectral(3, 2, 0),
        "0.376763044531 0.429415710748 0.490502625568 0.561933415526 0.646789274395 0.75090233009 0.886991233346 "
        "1.08560191812 1.42419616508 1.58067238801",
    ),
    (
        mf.erf >> mf.Spectral(9, 2, 0),
        "1.19733490875 1.43356321135 1.7162665474 2.05435631931 2.4580426648 2.93828019923 3.50467558425 4.15903145354 "
        "4.87667337495 5.55365351163",
    ),
    (
        mf.relu >> mf.Spectral(3, 2, 0),
        "0.3125 0.29826567906 0.284005940962 0.269708424865 0.255359339549 0.24094333323 0.226443525486 0.211842029324 "
        "0.197121907751 0.182273589344",
    ),
    (mf.relu >> mf.Spectral(9, 2, 0), "1 1 1 1 1 1 1 1 1 1"),
]


@pytest.mark.parametrize(("block", "expected"), BACKWARD, ids=lambda x: str(x)[:45])
def test_reference_gradients(block, expected):
    found = mf.fourier_operator(block, N).gradients(10, START)
    expected = np.array(expected.split(), dtype=float)
    assert np.abs(found[9::-1, 0] - expected).max() < 2e-11  # as many digits as are written
    assert found[10, 0] == 1 and np.abs(found[10, 1:]).max() == 0


# Started from a flat kept spectrum: q, c_1, c_{N/2}, rho, chi of lag 0.
CHAOTIC = [
    (mf.tanh >> mf.Spectral(9, 1.5, 0), 16, (0.2868942294, 0, 0, 1.0405675650, 1.0405675650)),
    (mf.tanh >> mf.Spectral(3, 1.5, 0), 16, (0.2816506128, 0.8670569773, 0.1444665484, 1.0274452657, 1.0453915140)),
    (mf.tanh >> mf.Spectral(4, 2, 0), 16, (0.5989770368, 0.7470252655, -0.1042699241, 1.0686642232, 1.1172072900)),
    (mf.tanh >> mf.Spectral(12, 2, 0), 64, (0.5987506409, 0.8231377088, -0.0316214737, 1.0681677383, 1.1173488158)),
    (mf.erf >> mf.Spectral(9, 2, 0), 16, (0.880750630396, 0, 0, 1.197365386447, 1.197365386447)),
    (
        mf.erf >> mf.Spectral(4, 2, 0),
        16,
        (0.842908830691, 0.746229575193, -0.105310524741, 1.125070386690, 1.217918286052),
    ),
    (
        mf.erf >> mf.Spectral(3, 2, 0),
        16,
        (0.843256089047, 0.866320621613, 0.147174178273, 1.125345496755, 1.217724842861),
    ),
    (
        mf.erf >> mf.Spectral(3, 4, 0),
        16,
        (2.332612115630, 0.865163624020, 0.151449820604, 1.304975441043, 1.584566690387),
    ),
    (
        mf.erf >> mf.Spectral(12, 2, 0),
        64,
        (0.842442074207, 0.822591811070, -0.031901977276, 1.123979730035, 1.218178441973),
    ),
]


@pytest.mark.parametrize(("block", "n", "expected"), CHAOTIC, ids=lambda x: str(x)[:45])
def test_chaotic_states(block, n, expected):
    found = mf.fourier_operator(block, n).fixed_point()
    c = found.covariance / found.q
    assert np.abs(np.array([found.q, c[1], c[n // 2], found.rho, found.chi_0]) - expected).max() < 1e-9
    behind = mf.lag_covariance(block, found.covariance)
    assert np.abs(behind - found.covariance).max() < 1e-13


def test_single_modes_of_odd_activations_repeat_themselves():
    operator = mf.fourier_operator(mf.tanh >> mf.Spectral(3, 2, 0), 16)
    found = operator.trajectory(80, np.cos(2 * np.pi * R / 16))[-1]  # not longer, since what rounding adds grows
    assert found[0] == pytest.approx(0.6017086017, abs=1e-9)
    assert found / found[0] == pytest.approx(np.cos(2 * np.pi * R / 16), abs=1e-9)
    assert operator.growth(found) == pytest.approx(1.08998465, abs=1e-8)
    assert operator.growth(found) > operator.fixed_point().rho  # not the state that most inputs are drawn to


@pytest.mark.parametrize(
    ("n", "modes", "critical"),
    [
        (16, 9, 2.7269853364),
        (16, 6, 2.8201989351),
        (16, 4, 2.8607029195),
        (16, 3, 2.9026594633),
        (16, 2, 3.0177105711),
        (32, 8, 2.8116541590),
        (64, 12, 2.7988457156),
        (64, 33, 2.6891817646),
    ],
)
def test_where_irfft_halves_the_mean_lengths_of_relu_stay_at_another_variance(n, modes, critical):
    found = mf.fourier_operator(mf.relu >> mf.Spectral(modes, 1, 0, dc="complex"), n).deep_shape()
    assert found.critical == pytest.approx(critical, abs=1e-9)
    assert found.rho_critical > 1.1  # at which gradients grow: no variance keeps both
    kept = mf.relu >> mf.Spectral(modes, found.critical, 0, dc="complex")
    assert mf.lag_covariance(kept, found.covariance) == pytest.approx(found.covariance, rel=1e-12, abs=1e-13)


def test_half_a_mean_splits_the_onsets_of_tanh():
    """The mean wakes at weight_var 2, the other modes at 1."""
    operator = mf.fourier_operator(mf.tanh >> mf.Spectral(4, 2, 0, dc="complex"), 16)
    found = operator.fixed_point()
    powers = np.real(np.fft.fft(found.covariance))
    assert found.q == pytest.approx(0.5915793821, abs=1e-9)
    assert powers[0] / powers.sum() == pytest.approx(0.0037, abs=5e-5)
    quiet = mf.fourier_operator(mf.tanh >> mf.Spectral(4, 1.9, 0, dc="complex"), 16)
    assert quiet.uniform.q == 0 and quiet.uniform.chi_1 == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("weight_var", "q", "chi_1", "xi"),
    [
        (0.5, 0.087579865186794, 0.431987381820932, 1.19138547301),
        (1.0, 0.193592520245297, 0.759031647185394, 3.62697561805),
        (1.5, 0.418037200533478, 0.938636268198851, 15.7909940341),
    ],
)
def test_uniform_states_do_not_depend_on_modes_and_points(weight_var, q, chi_1, xi):
    for n, modes in ((16, 3), (16, 9), (64, 12)):
        operator = mf.fourier_operator(mf.tanh >> mf.Spectral(modes, weight_var, 0.05), n)
        found = operator.uniform
        assert (found.q, found.chi_1) == (pytest.approx(q, rel=1e-12), pytest.approx(chi_1, rel=1e-12))
        assert found.xi[1] == pytest.approx(xi, rel=1e-10) and found.phase == "ordered"
        assert np.count_nonzero(found.rates) == 2 * modes - 1 - (2 * modes - 1 > n)
        assert operator.growth(np.full(n, found.q)) == pytest.approx(chi_1, rel=1e-9)


@pytest.mark.parametrize(
    "block",
    [
        mf.erf >> mf.Spectral(3, 1.2, 0.1),
        mf.FourierBlock(3, "erf", weight_var=0.7, pointwise_var=0.4, bias_var=0.1, skip=0.3),
        mf.erf >> mf.Spectral(3, 1.2, 0.1, spectrum=[1, 0.5, 0.8]),
    ],
    ids=str,
)
def test_rates_are_the_slopes_of_the_map(block):
    found = mf.fourier_operator(block, 8).uniform
    expected = np.array([by_differences(block, found, k) for k in range(5)])
    assert found.rates[:5] == pytest.approx(expected, abs=2e-6)
    assert np.abs(found.rates[:5] - 1.1 * expected).max() > 0.05


def by_differences(block, state, k):
    """d Sigma'_k/d Sigma_k at the uniform state by central differences; of k != 0 the variance at lag 0 stays."""
    wave = np.cos(2 * np.pi * k * np.arange(8) / 8)
    step = 1e-4 * state.q
    if k == 0:
        ends = [mf.lag_covariance(block, state.q + sign * step * wave)[0] for sign in (1, -1)]
        return (ends[0] - ends[1]) / (2 * step)
    # Sums of states are states: q 1 + e wave has the variance q + e, whose share is known from the mean.
    size = 8 if k == 4 else 4  # of a wave and its mirror image, which are one at Nyquist
    powers = [np.real(np.fft.fft(mf.lag_covariance(block, state.q + e * wave)))[k] / size for e in (step, 2 * step)]
    slopes = [x / e for x, e in zip(powers, (step, 2 * step), strict=True)]
    return 2 * slopes[0] - slopes[1]


@settings(max_examples=15, deadline=None)
@given(
    modes=st.integers(2, 9),
    variance=st.floats(0.5, 3),
    powers=st.lists(st.floats(0.05, 1), min_size=9, max_size=9),
)
def test_truncation_lowers_the_growth_and_gradients_obey_it(modes, variance, powers):
    start = sum(p * np.cos(2 * np.pi * k * R / N) for k, p in enumerate(powers))
    operator = mf.fourier_operator(mf.erf >> mf.Spectral(modes, variance, 0.05), N)
    rho, full = operator.growth(start), mf.fourier_operator(mf.erf >> mf.Spectral(9, variance, 0.05), N).growth(start)
    assert rho <= full * (1 + 1e-12)
    slopes = 4 / np.pi / np.sqrt((1 + 2 * start[0]) ** 2 - 4 * start**2)
    kept = np.abs(np.fft.fftfreq(N) * N) <= modes - 1
    matrix = np.fft.fft(kept[:, None] * np.fft.ifft(np.diag(slopes), axis=0), axis=0).real * variance
    assert rho == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-9)


def test_growth_on_large_grids_is_that_of_the_matrix():
    block, n = mf.erf >> mf.Spectral(5, 2, 0), 300
    start = 0.5 + 0.3 * np.cos(2 * np.pi * np.arange(n) / n)
    found = mf.fourier_operator(block, n).growth(start)
    slopes = 4 / np.pi / np.sqrt((1 + 2 * start[0]) ** 2 - 4 * start**2)
    hat = np.real(np.fft.fft(slopes)) / n
    toeplitz = 2 * np.array([[hat[(i - j) % n] for j in range(-4, 5)] for i in range(-4, 5)])
    assert found == pytest.approx(np.linalg.eigvalsh(toeplitz)[-1], rel=1e-10)


def test_gradients_are_filtered_first():
    block = mf.erf >> mf.Spectral(3, 2, 0)
    found = mf.fourier_operator(block, N).gradients(1, START)[0]
    slopes = 4 / np.pi / np.sqrt((1 + 2 * START[0]) ** 2 - 4 * START**2)
    kept = np.abs(np.fft.fftfreq(N) * N) <= 2
    white = 2 * np.real(np.fft.ifft(kept))
    assert np.abs(found - slopes * white).max() < 1e-13
    wrong = 2 * np.real(np.fft.ifft(kept * np.fft.fft(slopes * np.eye(N)[0])))
    assert np.abs(found - wrong).max() > 0.01


def test_weight_gradients_of_one_layer():
    block = mf.FourierBlock(3, "erf", weight_var=2, pointwise_var=0.5, bias_var=0.1)
    found = mf.fourier_operator(block, N).weight_gradients(1, START)[0]
    met = np.real(np.fft.fft(2 / np.pi * np.arcsin(2 * START / (1 + 2 * START[0]))))
    assert found[:3] == pytest.approx([met[0], 4 * met[1], 4 * met[2]], rel=1e-12)
    assert np.abs(found[3:14]).max() == 0 and found[14:] == pytest.approx(found[2:0:-1])
    full = mf.fourier_operator(mf.erf >> mf.Spectral(9, 2, 0), N).weight_gradients(1, START)[0]
    assert full[8] == pytest.approx(met[8], abs=1e-14)  # Nyquist is real, too


def test_grids_of_two_axes():
    operator = mf.fourier_operator(
        mf.FourierBlock((3, 2), "gelu", weight_var=1.5, pointwise_var=1, bias_var=0.1), (6, 4)
    )
    start = np.ones((6, 4))
    start[0, 0] = 1.5
    assert operator.trajectory(2, start).shape == operator.gradients(2, start).shape == (3, 6, 4)
    assert operator.weight_gradients(2, start).shape == (2, 6, 4)
    assert operator.uniform.rates[3, 1] < operator.uniform.rates[2, 1]


def test_it_says_what_it_is():
    text = str(mf.fourier_operator(mf.tanh >> mf.Spectral(3, 1, 0.05), (16, 8)))
    assert "16 x 8 points" in text and "ordered, q = 0.193592520245, chi_1 = 0.759031647185 (xi = 3.62698" in text
    shape = mf.fourier_operator(mf.relu >> mf.Spectral(3, 1, 0, dc="complex"), 16).deep_shape()
    assert "lengths stay at 2.90265946" in str(shape) and "gradients grow by 1.1575" in str(shape)
    assert "rho = 1.12534549" in str(mf.fourier_operator(mf.erf >> mf.Spectral(3, 2, 0), 16).fixed_point())


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        (0, ValueError, "grid must be at least 1"),
        (2.5, TypeError, "the number of points of a periodic, uniform grid"),
        (np.linspace(0, 1, 8), TypeError, "positions themselves are not asked for"),
        ((4, 4, 4, 4), ValueError, "1, 2 or 3 axes, not 4"),
        ((), ValueError, "1, 2 or 3 axes, not 0"),
        (4, ValueError, "at most N/2"),
    ],
)
def test_grids_that_are_refused(grid, error, message):
    with pytest.raises(error, match=message):
        mf.fourier_operator(mf.erf >> mf.Spectral(4, 1, 0), grid)


def test_what_else_is_refused():
    with pytest.raises(ValueError, match="weight_var"):
        mf.fourier_operator(mf.erf >> mf.Spectral(2), 8)
    operator = mf.fourier_operator(mf.relu >> mf.Spectral(9, 3, 0), 16)
    with pytest.raises(ValueError, match=r"the shape of the grid \(16,\), not \(8,\)"):
        operator.trajectory(2, np.ones(8))
    with pytest.raises(mf.NotConverged, match="without bound"):
        operator.fixed_point()
    for block in (
        mf.tanh >> mf.Spectral(3, 1, 0),
        mf.relu >> mf.Spectral(3, 1, 0.1),
        mf.softplus >> mf.Spectral(3, 1, 0),
    ):
        with pytest.raises(ValueError, match="has no shape"):
            mf.fourier_operator(block, 16).deep_shape()
    with pytest.raises(mf.NotConverged, match="has not settled"):
        mf.fourier_operator(mf.relu >> mf.Spectral(2, 2, 0), 4).fixed_point()
