"""Covariances of positions in deep convolutional networks: the recursion and its linear modes."""

import json

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import meanfield as mf
from meanfield.build import Block
from meanfield.convolution import spatial_covariance, spatial_modes
from solvers.iterate import orbit

TANH, ERF, RELU = mf.tanh >> mf.Dense(2.25, 0.09), mf.erf >> mf.Dense(2.25, 0.09), mf.relu >> mf.Dense(2, 0.1)
ORDERED = mf.erf >> mf.Dense(1, 0.09)
DROPOUT = mf.erf >> mf.Dropout(0.8) >> mf.Dense(2, 0.05)
UNIFORM, DELTA, LOPSIDED = (1 / 3, 1 / 3, 1 / 3), (0.0, 1.0, 0.0), (0.1, 0.2, 0.7)
KERNELS = [pytest.param(k, id=n) for k, n in ((UNIFORM, "uniform"), (DELTA, "delta"), (LOPSIDED, "lopsided"))]


def field(n, seed=0, points=()):
    """A covariance of n positions without any symmetry."""
    size = int(np.prod(points, dtype=int)) * n
    a = np.random.default_rng(seed).standard_normal((size, 2 * size))
    return (a @ a.T / (2 * size)).reshape((*points, n) * 2)


def at_fixed_point(modes, n):
    return modes.q * (modes.c + (1 - modes.c) * np.eye(n))


# -- the recursion --------------------------------------------------------------------------------------------------


def referee(p, q, k):
    """E tanh(u) tanh(v) by the trapezoidal rule in mpmath, whose error is that of the poles of tanh, below 1e-15."""
    h = mp.mpf(1) / 5
    nodes = [(h * i, mp.exp(-((h * i) ** 2) / 2)) for i in range(-45, 46)]
    c = k / mp.sqrt(p * q)
    s = mp.sqrt(1 - c * c)
    total = mp.mpf(0)
    for x, wx in nodes:
        inner = mp.fsum(wy * mp.tanh(mp.sqrt(q) * (c * x + s * y)) for y, wy in nodes if wx * wy > 1e-20)
        total += wx * mp.tanh(mp.sqrt(p) * x) * inner
    return total * h * h / (2 * mp.pi)


def test_one_layer_of_three_positions_is_that_of_mpmath():
    start = np.array([[1.2, 0.5, -0.2], [0.5, 0.8, 0.1], [-0.2, 0.1, 0.6]])
    found = spatial_covariance(TANH, start, kernel=LOPSIDED, depth=1)
    behind = np.empty((3, 3))
    for a in range(3):
        for b in range(a + 1):
            behind[a, b] = behind[b, a] = 2.25 * referee(*(mp.mpf(start[i]) for i in ((a, a), (b, b), (a, b)))) + 0.09
    for a in range(3):
        for b in range(3):
            wanted = sum(v * behind[(a + s) % 3, (b + s) % 3] for s, v in zip((-1, 0, 1), LOPSIDED, strict=True))
            assert found[a, b] == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("block", [TANH, RELU, DROPOUT], ids=str)
def test_equal_positions_are_one_point_of_a_dense_network(block, kernel):
    found = spatial_covariance(block, np.full((4, 4), 0.7), kernel=kernel, depth=5)
    built = Block(block)
    variance, _, covariance = orbit(lambda state: built("orbit", state)[0], (0.7, 0.7, 0.7), 5)[-1]
    assert found == pytest.approx(np.where(np.eye(4) == 1, variance, covariance), rel=1e-13)


def test_one_tap_is_a_dense_network_at_each_position():
    x = np.random.default_rng(1).standard_normal((5, 7))
    found = spatial_covariance(RELU, x @ x.T / 7, kernel=[1.0], depth=3)
    assert found == pytest.approx(mf.kernel(mf.Dense(1, 0) >> RELU**3, x), rel=1e-12)


def test_rows_of_a_grid_convolved_along_themselves_are_separate_inputs():
    start = field(4, points=(3,))
    one, two = (spatial_covariance(ERF, start, kernel=k, depth=2) for k in (LOPSIDED, [LOPSIDED]))
    assert np.array_equal(one, two)
    alone = spatial_covariance(ERF, start[1, :, 1, :], kernel=LOPSIDED, depth=2)
    assert one[1, :, 1, :] == pytest.approx(alone, rel=1e-14)


def test_a_kernel_of_two_axes_is_summed_over_both():
    start, kernel = field(4, points=(3,)), np.outer(UNIFORM, LOPSIDED)
    found, behind = (spatial_covariance(RELU, start, kernel=k, depth=1) for k in (kernel, [[1.0]]))
    wanted = sum(
        v * np.roll(behind, (1 - i, 1 - j, 1 - i, 1 - j), (0, 1, 2, 3)) for (i, j), v in np.ndenumerate(kernel)
    )
    assert found == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("unit", [True, False], ids=["unit", "any"])
def test_many_positions_of_an_open_map_are_its_dual(unit):
    start = field(48, seed=2)
    deviations = np.sqrt(np.diag(start)) if unit else np.ones(48)
    start /= np.outer(deviations, deviations)
    p, k = np.diag(start), start[np.tril_indices(48, -1)]
    value, bound = mf.dual("tanh")(*(p[i] for i in np.tril_indices(48, -1)), k, error=True)
    found = spatial_covariance(TANH, start, kernel=[1.0], depth=1)
    assert np.max(np.abs(found[np.tril_indices(48, -1)] - 2.25 * value - 0.09)) < 1e-12 + 2.25 * bound.max()
    assert np.diag(found) == pytest.approx(2.25 * mf.mean("tanh(x)**2")(p) + 0.09, rel=1e-12)


@given(st.integers(1, 6), st.integers(0, 5), st.integers(0, 1000), st.sampled_from([UNIFORM, LOPSIDED]))
def test_laws_of_positions(n, step, seed, kernel):
    start = field(n, seed)
    found = spatial_covariance(RELU, start, kernel=kernel, depth=2)
    assert np.array_equal(found, found.T)
    assert np.linalg.eigvalsh(found)[0] > -1e-13 * np.trace(found)
    moved = spatial_covariance(RELU, np.roll(start, step, (0, 1)), kernel=kernel, depth=2)
    assert np.roll(found, step, (0, 1)) == pytest.approx(moved, rel=1e-13)
    mirrored = spatial_covariance(RELU, start[::-1, ::-1], kernel=kernel[::-1], depth=2)
    assert found[::-1, ::-1] == pytest.approx(mirrored, rel=1e-13)


@given(st.floats(0, 1), st.integers(0, 1000))
def test_a_mixture_of_kernels_mixes_covariances(share, seed):
    one, two = np.array(UNIFORM), np.array(LOPSIDED)
    both = [spatial_covariance(ERF, field(5, seed), kernel=k, depth=1) for k in (one, two)]
    found = spatial_covariance(ERF, field(5, seed), kernel=share * one + (1 - share) * two, depth=1)
    assert found == pytest.approx(share * both[0] + (1 - share) * both[1], rel=1e-13)


def test_what_depends_on_the_distance_alone_does_not_meet_the_kernel():
    steps = np.abs(np.subtract.outer(*2 * [np.arange(7)]))
    start = 0.9 ** np.minimum(steps, 7 - steps)
    found = [spatial_covariance(ERF, start, kernel=kernel, depth=4) for kernel in (UNIFORM, DELTA, LOPSIDED)]
    assert found[0] == pytest.approx(found[1], rel=1e-13) and found[2] == pytest.approx(found[1], rel=1e-13)


# -- linear modes ---------------------------------------------------------------------------------------------------


def decayed(block, modes, kernel, pattern, depth, size=1e-6):
    """What is left of a deviation (n, n) from the fixed point, by its real and imaginary part."""
    centre = at_fixed_point(modes, len(pattern))
    parts = [
        spatial_covariance(block, centre + size * part, kernel=kernel, depth=depth) - centre
        for part in (pattern.real, pattern.imag)
    ]
    return (parts[0] + 1j * parts[1]) / size


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("block", [ERF, TANH], ids=str)
def test_deviations_decay_at_the_rates_of_their_modes(block, kernel):
    modes, at = spatial_modes(block, kernel, positions=6), np.arange(6)
    for m in (1, 4):
        wave = np.exp(1j * modes.frequencies[0][m] * at)
        for distance in (0, 1, 2):
            pattern = np.zeros((6, 6), dtype=complex)
            pattern[at, (at + distance) % 6] = pattern[(at + distance) % 6, at] = wave
            slope = modes.chi_c if distance else modes.chi_q
            for depth in (1, 2):
                left = sum(decayed(block, modes, kernel, pattern, depth, size) for size in (1e-6, -1e-6)) / 2
                wanted = (slope * modes.v_hat[m]) ** depth * wave
                assert left[at, (at + distance) % 6] == pytest.approx(wanted, abs=2e-9)
            assert modes.rates[m] == pytest.approx(abs(modes.chi_c * modes.v_hat[m]))
            assert modes.diagonal_rates[m] == pytest.approx(abs(modes.chi_q * modes.v_hat[m]))


@pytest.mark.parametrize("block", [ERF, ORDERED], ids=["chaotic", "ordered"])
def test_covariances_take_their_share_of_variances(block):
    modes, at = spatial_modes(block, LOPSIDED, positions=6), np.arange(6)
    values = {"p": modes.q, "q": modes.q, "k": modes.c * modes.q * (1 - 1e-12)}
    slope = mf.derive(block).jacobian()[2, 0]
    kappa = float(slope.subs({s: values[s.name] for s in slope.free_symbols}))
    wave = 1 + 0.5 * np.cos(modes.frequencies[0][1] * at)  # noise of positive variance, allowed at correlation 1
    left = decayed(block, modes, LOPSIDED, np.diag(wave), 1).real
    for distance in (1, 2, 3):
        share = kappa * (wave + np.roll(wave, -distance))
        wanted = sum(v * np.roll(share, -b) for b, v in zip((-1, 0, 1), LOPSIDED, strict=True))
        assert left[at, (at + distance) % 6] == pytest.approx(wanted, abs=1e-5)
    assert 2 * kappa + modes.chi_c == pytest.approx(modes.chi_q) or modes.c < 1


def test_uniform_kernels_lose_what_delta_kernels_keep():
    wave = np.cos(2 * np.pi * np.arange(6) / 6)
    pattern = np.zeros((6, 6))
    pattern[np.arange(6), np.arange(1, 7) % 6] = pattern[np.arange(1, 7) % 6, np.arange(6)] = wave
    left = {}
    for name, kernel in (("uniform", UNIFORM), ("delta", DELTA)):
        modes = spatial_modes(ERF, kernel, positions=6)
        found = spatial_covariance(ERF, at_fixed_point(modes, 6) + 0.05 * pattern, kernel=kernel, depth=12)
        left[name] = (found[0, 1] - found[3, 4]) / 0.1
    assert left["delta"] == pytest.approx(modes.chi_c**12, rel=0.1)
    assert left["uniform"] == pytest.approx(modes.chi_c**12 * (2 / 3) ** 12, rel=0.1)


def test_depth_scales_are_those_of_the_paper(printed):
    uniform, delta = (spatial_modes(TANH, kernel, positions=10) for kernel in (UNIFORM, DELTA))
    assert (uniform.q, uniform.c) == (printed("0.9608442797404"), printed("0.7667532972533"))
    assert uniform.xi[0] == printed("19.9162972273")
    assert uniform.diagonal_xi[0] == printed("1.1674993327")
    assert delta.surviving.all() and delta.xi == pytest.approx(np.full(10, uniform.xi[0]))
    assert uniform.surviving.tolist() == [True] + 9 * [False]
    shares = np.abs(1 + 2 * np.cos(2 * np.pi * np.arange(10) / 10)) / 3
    assert uniform.rates == pytest.approx(uniform.chi_c * shares, rel=1e-13)
    assert uniform.xi == pytest.approx(-1 / np.log(uniform.rates))


def test_kernels_off_the_middle_move_modes_and_keep_them():
    modes = spatial_modes(ERF, [0, 0, 1], positions=7)
    assert modes.surviving.all() and modes.v_hat == pytest.approx(np.exp(1j * modes.frequencies[0]))
    critical = spatial_modes(mf.relu >> mf.Dense(2, 0), [0, 0, 1], positions=7)
    assert (critical.xi == np.inf).all()


def test_modes_of_a_grid_are_products():
    modes = spatial_modes(ERF, np.outer(UNIFORM, LOPSIDED), positions=(5, 4))
    axes = [spatial_modes(ERF, k, positions=n).v_hat for k, n in ((UNIFORM, 5), (LOPSIDED, 4))]
    assert modes.v_hat == pytest.approx(np.outer(*axes))
    assert [len(f) for f in modes.frequencies] == [5, 4]


def test_taps_beyond_the_circle_come_around():
    kernels = [0.1, 0.1, 0.2, 0.3, 0.3], [0.4, 0.2, 0.4]  # on a circle of 3 shift 2 is -1
    found, same = (spatial_covariance(ERF, field(3), kernel=k, depth=2) for k in kernels)
    assert found == pytest.approx(same, rel=1e-13)
    found, same = (spatial_modes(ERF, k, positions=3).v_hat for k in kernels)
    assert found == pytest.approx(same, rel=1e-13)


def test_modes_say_what_they_are():
    modes = spatial_modes(TANH, UNIFORM, positions=10)
    assert "1 of 10 modes live xi = 19.9163 layers, the others" in str(modes)
    assert "10 of 10 modes live xi = 19.9163 layers\n" in str(spatial_modes(TANH, DELTA, positions=10))
    assert "3 x 5 positions" in str(spatial_modes(TANH, [[1.0]], positions=(3, 5)))
    told = json.loads(json.dumps(modes.to_dict()))
    assert told["rates"] == modes.rates.tolist() and told["block"] == str(TANH)
    assert told["surviving"][:2] == [True, False] and len(told["frequencies"][0]) == 10
