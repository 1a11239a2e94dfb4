"""Interpolated pair maps against the maps themselves: arc-cosine kernels (Cho and Saul, 2009), arcsine, a jump."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from solvers import chebyshev
from solvers.chebyshev import Interpolant, apply, coefficients, interpolate, nodes

Array = npt.NDArray[np.float64]
Closed = Callable[[Array, Array, Array], Array]
ANGLES = (0.0, np.pi)


def ramp(p: Array, q: Array, k: Array) -> Array:
    d = np.sqrt(p) * np.sqrt(q)
    theta = np.arccos(np.clip(k / d, -1, 1))
    return d * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)


def step(p: Array, q: Array, k: Array) -> Array:
    return 0.5 - np.arccos(np.clip(k / np.sqrt(p) / np.sqrt(q), -1, 1)) / (2 * np.pi)


def arcsine(p: Array, q: Array, k: Array) -> Array:
    return 2 / np.pi * np.arcsin(2 * k / np.sqrt((1 + 2 * p) * (1 + 2 * q)))


def jump(p: Array, q: Array, k: Array) -> Array:
    return np.where(k > 0.3 * np.sqrt(p) * np.sqrt(q), 1.0, 0.0)


def column(f: Closed) -> chebyshev.PairMap:
    return lambda p, q, k: f(p, q, k)[:, None]


def points(norms: tuple[float, float], n1: int, n2: int, *, ends: bool = False) -> tuple[Array, Array, Array]:
    """Variances in range and covariances at angles from 0.1 to pi - 0.1, or those and 0 and pi too."""
    rng = np.random.default_rng(n1)
    p, q = (np.exp(rng.uniform(*np.log(norms), size=n)) for n in (n1, n2))
    theta = rng.uniform(0.1, np.pi - 0.1, size=(n1, n2))
    if ends:
        theta[0, :2] = 0, np.pi
    return p, q, np.sqrt(p)[:, None] * np.sqrt(q) * np.cos(theta)


def error(f: Closed, found: Interpolant, norms: tuple[float, float], *, ends: bool = False) -> float:
    p, q, k = points(norms, 20, 60, ends=ends)
    state = k[None].copy()
    apply(found, p, q, state, (0, 20), triangle=False)
    return float(np.abs(state[0] - f(*np.broadcast_arrays(p[:, None], q, k))).max())


CASES = [(f, norms) for f in (ramp, step, arcsine) for norms in ((1.0, 1.0), (0.9, 1.1), (0.2, 5.0), (1e-3, 30.0))]


@pytest.mark.parametrize(("f", "norms"), CASES)
def test_smooth_maps_are_met_to_rounding_and_the_error_is_a_bound(f: Closed, norms: tuple[float, float]) -> None:
    found = interpolate(column(f), norms, ANGLES)
    assert error(f, found, norms) <= found.error <= 1e-13 * max(norms)
    # At the ends an angle has half the digits of its cosine, which only a map with a slope there can notice.
    assert error(f, found, norms, ends=True) <= (3e-8 if f is step else found.error)


@pytest.mark.parametrize("norm", [1.0, 25.0])
def test_convergence_is_geometric(norm: float) -> None:
    gaps = []
    for n in (4, 8, 16, 32):
        theta = nodes(n, *ANGLES)
        p = np.full(n, norm)
        c = coefficients(arcsine(p, p, norm * np.cos(theta))[:, None], 0)
        at = np.linspace(0, np.pi, 301)
        values = np.polynomial.chebyshev.chebval(2 * at / np.pi - 1, c[:, 0])
        gaps.append(np.abs(values - arcsine(np.array(norm), np.array(norm), norm * np.cos(at))).max())
    rates = np.array(gaps[1:]) / np.array(gaps[:-1])
    assert rates[1] < rates[0] < 0.7 and rates[2] < rates[1] ** 1.5


@pytest.mark.parametrize("n", [2, 3, 16])
def test_coefficients_are_those_of_the_polynomial_through_the_nodes(n: int) -> None:
    wanted = np.random.default_rng(n).normal(size=n)
    x = nodes(n, 1.0, 5.0)
    values = np.polynomial.chebyshev.chebval((x - 3) / 2, wanted)
    assert coefficients(values[None], 1)[0] == pytest.approx(wanted, abs=1e-14)


def test_a_map_that_jumps_is_not_resolved_and_says_so() -> None:
    found = interpolate(column(jump), (0.5, 2.0), ANGLES)
    assert found.coefficients.shape[2] == chebyshev.MOST_ANGLES
    assert found.error > 1e-3
    assert error(jump, found, (0.5, 2.0)) > 1e-2


def test_a_map_that_is_nan_somewhere_has_no_error_bound() -> None:
    found = interpolate(column(lambda p, q, k: np.where(k < 0, np.nan, k)), (0.5, 2.0), ANGLES)
    assert not found.error <= 1e300


def test_one_norm_needs_one_node() -> None:
    found = interpolate(column(ramp), (3.0, 3.0), ANGLES)
    assert found.coefficients.shape[:2] == (1, 1)


def test_a_triangle_is_the_lower_part_of_the_rectangle_and_rows_are_kept_apart() -> None:
    norms = (0.5, 4.0)
    p, _, k = points(norms, 30, 30)
    k = np.sqrt(p)[:, None] * np.sqrt(p) * np.cos(np.linspace(0, np.pi, 900).reshape(30, 30))
    found = interpolate(column(ramp), norms, ANGLES)
    whole, lower = k[None].copy(), k[None].copy()
    apply(found, p, p, whole, (0, 30), triangle=False)
    for rows in ((0, 11), (11, 29)):
        apply(found, p, p, lower, rows, triangle=True)
    below = np.tril(np.ones((30, 30), dtype=bool), -1)
    below[29] = False
    assert np.array_equal(lower[0, below], whole[0, below])
    assert np.array_equal(lower[0, ~below], k[~below])


def test_the_tangent_is_added_and_pulled_back() -> None:
    """(k, t) -> (ramp, ramp + t step)."""
    norms = (0.5, 4.0)
    p, q, k = points(norms, 8, 40)
    t = np.random.default_rng(3).normal(size=k.shape)
    found = interpolate(lambda *s: np.stack([ramp(*s), ramp(*s), step(*s)], axis=1), norms, ANGLES)
    state = np.stack([k, t])
    apply(found, p, q, state, (0, 8), triangle=False)
    at = np.broadcast_arrays(p[:, None], q, k)
    np.testing.assert_allclose(state[0], ramp(*at), atol=1e-13)
    np.testing.assert_allclose(state[1], ramp(*at) + t * step(*at), atol=1e-12)


@pytest.mark.parametrize("where", ["p", "q", "k"])
def test_nan_stays_nan(where: str) -> None:
    found = interpolate(column(ramp), (0.5, 4.0), ANGLES)
    p, q, state = np.ones(2), np.ones(3), np.full((1, 2, 3), 0.5)
    {"p": p, "q": q, "k": state[0, 1]}[where][1] = np.nan
    apply(found, p, q, state, (0, 2), triangle=False)
    lost = {"p": np.s_[1, :], "q": np.s_[:, 1], "k": np.s_[1, 1]}[where]
    expected = np.zeros((2, 3), dtype=bool)
    expected[lost] = True
    assert np.array_equal(np.isnan(state[0]), expected)
