"""Covariances over lags through Fourier neural operators: reference trajectories, laws, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
from symbolic.signals import NoRule

N = 16
R = np.arange(N)
START = (
    0.4 + 0.3 * np.cos(2 * np.pi * R / N) + 0.2 * np.cos(2 * np.pi * 3 * R / N) + 0.1 * np.cos(2 * np.pi * 6 * R / N)
)
CRITICAL = 1.37583900734668

# Lags 0, 1, 4, 8 behind `depth` layers, in 30-digit arithmetic.
TRAJECTORIES = [
    (mf.erf >> mf.Spectral(9, 2, 0), 1, (0.92911810879508, 0.60190997437183, 0.2563768673959, 0)),
    (mf.erf >> mf.Spectral(9, 2, 0), 10, (0.88077558988721, 0.32677213321198, 0.1196174355556, 0)),
    (mf.erf >> mf.Spectral(3, 2, 0), 1, (0.63144308814941, 0.60769326965085, 0.33960948595265, 0.091438403227419)),
    (mf.erf >> mf.Spectral(3, 2, 0), 2, (0.7517922641093, 0.72126091940215, 0.38790112966538, 0.10454282017245)),
    (mf.erf >> mf.Spectral(3, 2, 0), 10, (0.86419743243815, 0.80454102590466, 0.27218943017831, 0.095175916352755)),
    (
        mf.erf >> mf.Spectral(3, CRITICAL, 0.05),
        1,
        (0.4843820157977, 0.46804405244384, 0.28362398901931, 0.11290226096489),
    ),
    (
        mf.erf >> mf.Spectral(3, CRITICAL, 0.05),
        10,
        (0.5159878675314, 0.50343204636569, 0.38211757081484, 0.3155210227294),
    ),
    (mf.relu >> mf.Spectral(9, 2, 0), 1, (1, 0.7374509523179, 0.48274428383549, 0.31830988618379)),
    (mf.relu >> mf.Spectral(9, 2, 0), 10, (1, 0.91588972675318, 0.88442952718764, 0.87153551602152)),
    (mf.relu >> mf.Spectral(3, 2, 0), 1, (0.76870044451378, 0.74829516489993, 0.53725384265075, 0.38507950015952)),
    (mf.relu >> mf.Spectral(3, 2, 0), 2, (0.76626025818962, 0.74875673690133, 0.57563670343119, 0.47013561107689)),
    (mf.relu >> mf.Spectral(3, 2, 0), 10, (0.75689119411803, 0.75022124527915, 0.69216718227686, 0.67701582584521)),
    (
        mf.relu >> mf.Spectral(3, 2, 0, dc="complex"),
        1,
        (0.49016449076693, 0.46975921115307, 0.2587178889039, 0.10654354641267),
    ),
    (
        mf.relu >> mf.Spectral(3, 2, 0, dc="complex"),
        10,
        (0.016158759710672, 0.014725501979417, 0.0033876550702763, 0.0037301739873443),
    ),
]


@pytest.mark.parametrize(("block", "depth", "expected"), TRAJECTORIES, ids=lambda x: str(x)[:60])
def test_reference_trajectories(block, depth, expected):
    found = mf.lag_covariance(block**depth, START)
    assert np.abs(found[[0, 1, 4, 8]] - expected).max() < 1e-12
    assert np.abs(mf.lag_covariance(1.01 * block, START) - mf.lag_covariance(block, START)).max() > 1e-3


@pytest.mark.parametrize(
    ("modes", "depth", "expected"),
    [
        (9, 1, (0.7885889808, 0.5165126966, 0)),
        (9, 10, (0.6186242990, 0.2987600571, 0)),
        (3, 1, (0.5392041411, 0.5194633374, 0.0778677091)),
        (3, 10, (0.6119699840, 0.5776664810, 0.0712951427)),
    ],
)
def test_reference_trajectories_of_tanh(modes, depth, expected):
    found = mf.lag_covariance((mf.tanh >> mf.Spectral(modes, 2, 0)) ** depth, START)
    assert np.abs(found[[0, 1, 8]] - expected).max() < 1e-10


def test_one_mode_keeps_the_mean_alone():
    for depth in (1, 7):
        found = mf.lag_covariance((mf.relu >> mf.Spectral(1, 2, 0)) ** depth, START)
        assert np.abs(found - 0.5570719075).max() < 1e-10


def lags(shape, powers):
    """The covariance with these powers at modes k and -k of a grid."""
    hat = np.resize(np.abs(powers), shape)
    return np.real(np.fft.fftn(hat + np.roll(np.flip(hat), 1, tuple(range(len(shape)))))) / hat.size


def dense(phi, q, k, variance, bias):
    """The recursion of a dense network for one pair of inputs, by hand."""
    c = np.clip(k / q, -1, 1)
    if phi == "relu":
        theta = np.arccos(c)
        after = q * (np.sin(theta) + (np.pi - theta) * c) / (2 * np.pi)
    else:
        after = 2 / np.pi * np.arcsin(2 * k / (1 + 2 * q))
    return variance * after + bias


@settings(max_examples=25, deadline=None)
@given(
    phi=st.sampled_from(["relu", "erf"]),
    shape=st.sampled_from([(1,), (5,), (8,), (4, 3), (2, 3, 4)]),
    powers=st.lists(st.floats(0.1, 2), min_size=5, max_size=5),
    variance=st.floats(0.3, 3),
    bias=st.floats(0, 0.5),
)
def test_all_modes_are_the_dense_recursion_lag_by_lag(phi, shape, powers, variance, bias):
    start = lags(shape, powers)
    modes = tuple(n // 2 + 1 for n in shape)
    found = mf.lag_covariance((getattr(mf, phi) >> mf.Spectral(modes, variance, bias)) ** 3, start)
    expected = start
    for _ in range(3):
        expected = dense(phi, expected.flat[0], expected, variance, bias)
    assert np.abs(found - expected).max() < 1e-13 * max(1, expected.max())
    if len(shape) == 1 and shape[0] > 4:
        fewer = mf.lag_covariance((getattr(mf, phi) >> mf.Spectral(2, variance, bias)) ** 3, start)
        assert np.abs(fewer - expected).max() > 1e-4


@settings(max_examples=25, deadline=None)
@given(
    phi=st.sampled_from(["relu", "erf", "tanh", "gelu"]),
    modes=st.integers(1, 4),
    powers=st.lists(st.floats(0.1, 2), min_size=12, max_size=12),
)
def test_dropped_modes_vanish_and_what_is_left_is_a_covariance(phi, modes, powers):
    found = mf.lag_covariance(getattr(mf, phi) >> mf.Spectral(modes, 1.7, 0.1), lags((12,), powers))
    hat = np.real(np.fft.fft(found))
    k = np.abs(np.fft.fftfreq(12) * 12)
    assert np.abs(hat[k > modes - 1]).max() < 1e-13
    assert hat.min() > -1e-13 and np.abs(found - np.roll(found[::-1], 1)).max() < 1e-14
    kept = mf.lag_covariance(
        mf.FourierBlock(modes, phi, weight_var=1, pointwise_var=0.7, bias_var=0.1), lags((12,), powers)
    )
    assert np.abs(np.fft.fft(kept)[k > modes - 1]).max() > 1e-6


def brute(block_of, start, depth):
    """One input, original layer, by loops over lags and modes."""
    spectral, pointwise, skip, bias, modes = block_of
    sigma = start
    for _ in range(depth):
        met = np.array([2 / np.pi * np.arcsin(2 * k / (1 + 2 * sigma[0])) for k in sigma])
        after = np.zeros(len(sigma))
        for k in range(-modes + 1, modes):
            hat = sum(met[r] * np.exp(-2j * np.pi * k * r / len(met)) for r in range(len(met)))
            after += np.real([hat * np.exp(2j * np.pi * k * r / len(met)) for r in range(len(met))])
        sigma = spectral * after / len(met) + pointwise * met + skip**2 * sigma + bias
    return sigma


def test_original_and_residual_layers_by_loops():
    block = mf.FourierBlock(3, "erf", weight_var=0.8, pointwise_var=0.5, bias_var=0.1, skip=0.6)
    found = mf.lag_covariance(block**3, START)
    assert np.abs(found - brute((0.8, 0.5, 0.6, 0.1, 3), START, 3)).max() < 1e-13
    assert np.abs(found - brute((0.5, 0.8, 0.6, 0.1, 3), START, 3)).max() > 1e-3


def test_however_a_network_is_written():
    block = mf.FourierBlock(3, "gelu", weight_var=1.5, pointwise_var=0.4, bias_var=0.1, skip=0.5)
    spelled = 0.5 * mf.Identity() + (mf.gelu >> (mf.Spectral(3, 1.5, 0.05) + mf.Dense(0.4, 0.05)))
    walked = mf.Identity() >> spelled >> spelled
    assert np.abs(mf.lag_covariance(block**2, START) - mf.lag_covariance(walked, START)).max() < 1e-14


def test_normalisation_and_dropout_on_a_lattice():
    net = mf.RMSNorm() >> mf.relu >> mf.Spectral(9, 2, 0)
    assert (
        np.abs(mf.lag_covariance(net, START) - mf.lag_covariance(mf.relu >> mf.Spectral(9, 2, 0), START)).max() < 1e-15
    )
    dropped = mf.lag_covariance(mf.erf >> mf.Dropout(0.5) >> mf.Dense(1, 0), START)
    plain = mf.lag_covariance(mf.erf >> mf.Dense(1, 0), START)
    assert dropped[0] == pytest.approx(2 * plain[0]) and dropped[1:] == pytest.approx(plain[1:])


def test_a_large_lattice_is_the_small_one_that_it_repeats():
    block = mf.relu >> mf.Spectral(200, 2, 0.1)
    many = np.cos(2 * np.pi * np.arange(4096) / 4096)  # many modes: by FFT
    found = mf.lag_covariance(block**2, many)
    by_matrices = mf.lag_covariance(mf.relu >> mf.Spectral(2, 2, 0.1), np.cos(2 * np.pi * np.arange(8) / 8))
    assert found.shape == (4096,) and by_matrices.shape == (8,)
    q, c = 1.0, many
    for _ in range(2):
        theta = np.arccos(np.clip(c / q, -1, 1))
        met = q * (np.sin(theta) + (np.pi - theta) * c / q) / (2 * np.pi)
        hat = np.fft.rfft(met)
        hat[200:] = 0
        c = 2 * np.fft.irfft(hat, 4096) + 0.1
        q = c[0]
    assert np.abs(found - c).max() < 1e-12


def test_two_axes_against_two_dimensional_transforms():
    shape = (6, 5)
    start = lags(shape, np.linspace(0.2, 2, 30))
    found = mf.lag_covariance((mf.erf >> mf.Spectral((2, 3), 1.5, 0.1)) ** 2, start)
    sigma = start
    k1, k2 = np.abs(np.fft.fftfreq(6) * 6), np.abs(np.fft.fftfreq(5) * 5)
    kept = (k1[:, None] <= 1) & (k2 <= 2)
    for _ in range(2):
        met = 2 / np.pi * np.arcsin(2 * sigma / (1 + 2 * sigma[0, 0]))
        sigma = 1.5 * np.real(np.fft.ifft2(np.fft.fft2(met) * kept)) + 0.1
    assert np.abs(found - sigma).max() < 1e-14


def test_two_inputs_by_a_joint_gaussian():
    """Both inputs' fields at all positions as one Gaussian vector, means by Monte Carlo-free closed forms of erf."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 8, 3)), rng.standard_normal((2, 8, 3))
    fields = np.stack([np.fft.ifft(np.fft.fft(x, axis=0) / (1 + np.arange(8))[:, None], axis=0).real for x in (*a, *b)])
    x, y = np.concatenate(fields[:2], axis=1), np.concatenate(fields[2:], axis=1)

    def average(u, v):
        return np.array([np.mean(np.sum(np.roll(u, -r, axis=0) * v, axis=1)) for r in range(8)]) / 6

    first, second, cross = average(x, x), average(y, y), average(x, y)
    found = mf.lag_covariance((mf.erf >> mf.Spectral(3, 1.3, 0.2)) ** 2, first, second=second, cross=cross)
    states = [first, second, cross]
    kept = np.abs(np.fft.fftfreq(8) * 8) <= 2
    for _ in range(2):
        p, q = states[0][0], states[1][0]
        scales = (1 + 2 * p, 1 + 2 * q, np.sqrt((1 + 2 * p) * (1 + 2 * q)))
        met = [2 / np.pi * np.arcsin(2 * s / scale) for s, scale in zip(states, scales, strict=True)]
        states = [1.3 * np.real(np.fft.ifft(np.fft.fft(m) * kept)) + 0.2 for m in met]
    for one, other in zip(found, states, strict=True):
        assert np.abs(one - other).max() < 1e-13
    assert np.abs(found[2] - np.roll(found[2][::-1], 1)).max() > 1e-4  # no law makes it even


def test_two_equal_inputs_stay_equal():
    first, second, cross = mf.lag_covariance(mf.tanh >> mf.Spectral(4, 1.5, 0.1), START, second=START, cross=START)
    assert np.array_equal(first, second) and np.abs(cross - first).max() < 1e-13


@pytest.mark.parametrize(
    ("network", "initial", "error", "message"),
    [
        (mf.relu >> mf.Spectral(10, 2, 0), START, ValueError, "at most N/2 \\+ 1 = 9"),
        (mf.relu >> mf.Spectral(2), START, ValueError, "weight_var"),
        (mf.FourierBlock(2, weight_var=1, bias_var=0), START, ValueError, "pointwise_var"),
        (mf.Spectral(2, 1, 0), [1, 0.5, 0.1, 0.2], ValueError, r"initial\[1\] is 0.5 and initial\[3\] is 0.2"),
        (mf.Spectral(2, 1, 0), [1, 2, 2], ValueError, "positive semidefinite, but its DFT at mode 1 is -1"),
        (mf.Spectral(2, 1, 0), [1, float("nan")], ValueError, "must be finite"),
        (mf.Spectral(2, 1, 0), np.ones((2, 2, 2, 2)), ValueError, "of shape"),
        (mf.Spectral(2, 1, 0), np.ones((0,)), ValueError, "of shape"),
        (mf.Spectral(2, 1, 0), "ones", TypeError, "array of numbers"),
        (mf.Conv(3, weight_var=1, bias_var=0), START, NoRule, "a filter of size 1"),
        (mf.Dense(1, 0) >> mf.AvgPool(2), START, ValueError, "no lattice"),
        (mf.Spectral(2, 1, 0) >> mf.GlobalAvgPool(), START, ValueError, "no lattice"),
        ("relu", START, TypeError, "made of layers"),
        (mf.Conv(1, weight_var=1, bias_var=0), np.diag([3, 2, 1.0]), ValueError, "even on a periodic grid"),
    ],
)
def test_what_is_refused(network, initial, error, message):
    with pytest.raises(error, match=message):
        mf.lag_covariance(network, initial)


def test_pairs_of_inputs_that_are_refused():
    block = mf.relu >> mf.Spectral(2, 2, 0)
    with pytest.raises(ValueError, match="give both, or neither"):
        mf.lag_covariance(block, START, second=START)
    with pytest.raises(ValueError, match="of one shape"):
        mf.lag_covariance(block, START, second=START, cross=START[:8])
    with pytest.raises(ValueError, match="together"):
        mf.lag_covariance(block, START, second=START, cross=2 * START)


def test_growth_beyond_numbers_is_refused():
    with pytest.raises(mf.NotConverged, match="not finite"):
        mf.lag_covariance((mf.relu >> mf.Spectral(9, 1e9, 0)) ** 40, START)
