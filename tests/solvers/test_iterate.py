"""Fixed points of maps whose fixed points are known in closed form."""

from math import inf, isnan, nan, sqrt, tanh

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.iterate import HUGE, TINY, Function, NotConverged, Result, Solution, fixed_point, root


def linear(a: float, b: float) -> Function:
    return lambda x: (a * x + b, a)


def power(a: float, s: float) -> Function:
    """x -> a x^s, whose root a^(1/(1-s)) has slope s."""
    return lambda x: (a * x**s, a * s * x ** (s - 1))


def logistic(r: float) -> Function:
    """x -> r x (1 - x), roots 0 (slope r) and 1 - 1/r (slope 2 - r)."""
    return lambda x: (r * x * (1 - x), r * (1 - 2 * x))


def two_roots(low: float, high: float) -> Function:
    """x -> x - (x - low)(x - high)/(low + high): repelling at low, attracting at high."""
    return lambda x: (x - (x - low) * (x - high) / (low + high), 1 - (2 * x - low - high) / (low + high))


def squashing(a: float) -> Function:
    return lambda x: (a * tanh(x), a * (1 - tanh(x) ** 2))


# -- known answers ------------------------------------------------------------------------------------------------

KNOWN = [
    (linear(0.5, 1), 1.0, 2.0, 0.5),
    (linear(0.5, 1), 500.0, 2.0, 0.5),
    (linear(0.5, 1), 1e-9, 2.0, 0.5),
    (linear(0.999999, 1e-6), 8.0, 1.0, 0.999999),
    (linear(-0.5, 3), 1.0, 2.0, -0.5),
    (linear(-3, 8), 0.1, 2.0, -3.0),
    (power(3.0, 0.5), 1.0, 9.0, 0.5),
    (power(3.0, 0.5), 1e5, 9.0, 0.5),
    (power(1e-3, 0.5), 1.0, 1e-6, 0.5),
    (power(2.0, 0.9), 1.0, 1024.0, 0.9),
    (logistic(2.5), 0.9, 0.6, -0.5),
    (logistic(2.5), 1e-7, 0.6, -0.5),
    (logistic(3.7), 0.1, 1 - 1 / 3.7, -1.7),
    (two_roots(1.0, 3.0), 1.1, 3.0, 0.5),
    (two_roots(1.0, 3.0), 90.0, 3.0, 0.5),
    (squashing(1 / tanh(1)), 7.0, 1.0, 1 / tanh(1) - tanh(1)),
]


@pytest.mark.parametrize(("f", "start", "value", "slope"), KNOWN)
def test_known_fixed_points(f: Function, start: float, value: float, slope: float) -> None:
    found = fixed_point(f, start)
    assert found.result is Result.FOUND
    assert found.unwrap() == pytest.approx(value, rel=1e-10 if slope > 0.99 else 1e-13)
    assert found.slope == f(found.value)[1] == pytest.approx(slope, abs=1e-5)
    assert found.residual == abs(f(found.value)[0] - found.value) <= 4e-16 * found.value


@pytest.mark.parametrize(("f", "start", "value", "slope"), KNOWN)
def test_newton_needs_few_evaluations(f: Function, start: float, value: float, slope: float) -> None:
    calls = 0

    def counted(x: float) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        return f(x)

    found = fixed_point(counted, start)
    assert found.steps == calls <= 32  # factors of 2 to the bracket, then a handful
    assert root(f, 0.7 * value, 1.4 * value).steps <= 10


def test_a_point_that_moves_nowhere_is_reported_with_its_slope() -> None:
    assert fixed_point(linear(1, 0), 0.37) == Solution(0.37, 1.0, 0.0, 1, Result.FOUND)
    assert fixed_point(power(1, 2), 1.0) == Solution(1.0, 2.0, 0.0, 1, Result.FOUND)


@pytest.mark.parametrize(("start", "result"), [(1 - 1e-9, Result.VANISHES), (1 + 1e-9, Result.DIVERGES)])
def test_beside_a_repelling_root_the_search_goes_downstream(start: float, result: Result) -> None:
    assert fixed_point(power(1, 2), start).result is result


def test_a_pair_of_roots_a_factor_of_two_apart_is_not_stepped_over() -> None:
    def cubic(x: float) -> tuple[float, float]:
        return x - 1e-4 * (x - 6) * (x - 20) * (x - 800), 1 - 1e-4 * (3 * x * x - 1652 * x + 20920)

    assert fixed_point(cubic, 1.0).value == pytest.approx(6, rel=1e-13)
    assert fixed_point(cubic, 19.0).value == pytest.approx(6, rel=1e-13)
    assert fixed_point(cubic, 21.0).value == pytest.approx(800, rel=1e-13)


# -- no fixed point -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [linear(0.5, 0), linear(1 - 1e-9, 0), lambda x: (x / (1 + x), (1 + x) ** -2)])
@pytest.mark.parametrize("start", [1e-6, 1.0, 1e4])
def test_orbits_that_vanish_have_the_value_zero_and_the_slope_there(f: Function, start: float) -> None:
    found = fixed_point(f, start)
    assert (found.result, found.unwrap(), found.slope) == (Result.VANISHES, 0.0, f(TINY)[1])


@pytest.mark.parametrize("f", [linear(2, 0), linear(1, 0.1), lambda x: (x + 1 / (1 + x), 1 - (1 + x) ** -2)])
@pytest.mark.parametrize("start", [1e-200, 1.0, 1e4])
def test_orbits_that_grow_have_no_value(f: Function, start: float) -> None:
    found = fixed_point(f, start)
    assert (found.result, found.value, found.slope) == (Result.DIVERGES, inf, f(HUGE)[1])
    with pytest.raises(NotConverged, match="grows without bound"):
        found.unwrap()


def test_a_start_beyond_the_horizon_may_still_come_back() -> None:
    assert fixed_point(linear(0.5, 1), 1e9).unwrap() == pytest.approx(2, rel=1e-13)


def undefined(low: float, high: float, f: Function) -> Function:
    return lambda x: (nan, nan) if low <= x <= high else f(x)


@pytest.mark.parametrize(
    "f",
    [
        undefined(0.0, inf, linear(1, 1)),
        undefined(0.9, 1.1, linear(0.5, 4)),  # at the start only
        undefined(3.0, 5.0, linear(1, 1)),  # on the way
        undefined(5.5, 6.5, linear(0.5, 3)),  # at the root only, inside its bracket
        undefined(7.5, 9.0, linear(0.5, 3)),  # at the far end of the bracket
    ],
)
def test_a_map_that_is_nan_where_it_matters_is_undefined(f: Function) -> None:
    found = fixed_point(f, 1.0)
    assert found.result is Result.UNDEFINED and isnan(found.slope)
    with pytest.raises(NotConverged, match="the map gave NaN"):
        found.unwrap()


def test_a_jump_across_the_diagonal_is_not_a_root() -> None:
    def jump(x: float) -> tuple[float, float]:
        return (5.0 if x < 3 else 1.0), 0.0

    found = fixed_point(jump, 2.5)
    assert found.result is Result.JUMPS and found.residual > 1
    with pytest.raises(NotConverged, match="jumps across the diagonal"):
        found.unwrap()


@pytest.mark.parametrize("limit", [2, 5, 9])
def test_the_step_limit(limit: int) -> None:
    found = fixed_point(linear(0.999, 1), 1.0, max_steps=limit)
    assert (found.result, found.steps) == (Result.STEPS, limit)
    with pytest.raises(NotConverged, match=rf"step limit was reached \(after {limit} steps"):
        found.unwrap()
    assert fixed_point(linear(0.999, 1), 1.0).unwrap() == pytest.approx(1000, rel=1e-12)


def test_the_step_limit_inside_a_bracket() -> None:
    found = root(squashing(1.5), 0.5, 4.0, max_steps=2)
    assert (found.result, found.steps) == (Result.STEPS, 2)
    assert found.residual == abs(1.5 * tanh(found.value) - found.value)


# -- laws ---------------------------------------------------------------------------------------------------------

rates = st.floats(-0.95, 0.95)
sizes = st.floats(1e-3, 1e3)


@given(rate=rates, wiggle=st.floats(0, 1), at=sizes, start=sizes)
def test_contractions_have_one_fixed_point_wherever_it_is_sought(
    rate: float, wiggle: float, at: float, start: float
) -> None:
    def contraction(x: float) -> tuple[float, float]:
        """Slope between rate and rate (1 - wiggle), fixed at `at`."""
        y = (x - at) / at
        size = sqrt(1 + y * y)
        return at + rate * at * (y - wiggle * (y - y / size)), rate * (1 - wiggle * (1 - size**-3))

    found = fixed_point(contraction, start)
    assert found.unwrap() == pytest.approx(at, rel=1e-13)
    assert found.slope == pytest.approx(rate, abs=1e-9)


@given(scale=st.floats(1e-4, 1e4), a=st.floats(1.1, 3))
def test_fixed_points_scale_with_the_map(scale: float, a: float) -> None:
    def scaled(x: float) -> tuple[float, float]:
        value, slope = squashing(a)(x / scale)
        return scale * value, slope

    assert fixed_point(scaled, scale).value == pytest.approx(scale * fixed_point(squashing(a), 1).value, rel=1e-12)
