"""Depth scales and phases at and around their edges."""

from math import exp, inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.spectra import CRITICAL, depth_scale, phase


@pytest.mark.parametrize(
    ("chi", "xi"),
    [(0.0, 0.0), (exp(-1), 1.0), (exp(-0.01), 100.0), (exp(0.5), -2.0), (1.0, inf), (inf, 0.0), (5e-324, 1 / 744.44)],
)
def test_depth_scales(chi: float, xi: float) -> None:
    assert depth_scale(chi) == pytest.approx(xi, rel=1e-5)


@pytest.mark.parametrize("ulp", [-(2.0**-53), 2.0**-52])
def test_a_slope_of_one_off_by_rounding_is_one(ulp: float) -> None:
    assert depth_scale(1 + ulp) == inf
    assert abs(depth_scale(1 + 64 * ulp)) < 1e15


def test_an_undefined_slope_has_no_depth_scale() -> None:
    assert isnan(depth_scale(nan))


@pytest.mark.parametrize("chi", [0.5, 1.0, 2.0, inf])
def test_the_sign_of_a_slope_does_not_change_how_long_deviations_live(chi: float) -> None:
    assert depth_scale(-chi) == depth_scale(chi)


@given(st.floats(1e-3, 1e3).filter(lambda xi: xi > 2e-3))
def test_a_deviation_loses_a_factor_e_over_a_depth_scale(xi: float) -> None:
    assert depth_scale(exp(-1 / xi)) == pytest.approx(xi, rel=1e-9)
    assert depth_scale(exp(1 / xi)) == pytest.approx(-xi, rel=1e-9)


@pytest.mark.parametrize(
    ("chi", "name"),
    [
        (0.0, "ordered"),
        (1 - 2 * CRITICAL, "ordered"),
        (1 - CRITICAL / 2, "critical"),
        (1.0, "critical"),
        (1 + CRITICAL / 2, "critical"),
        (1 + 2 * CRITICAL, "chaotic"),
        (inf, "chaotic"),
    ],
)
def test_phases(chi: float, name: str) -> None:
    assert phase(chi) == name


def test_an_undefined_slope_has_no_phase() -> None:
    with pytest.raises(ValueError, match="does the activation jump"):
        phase(nan)
