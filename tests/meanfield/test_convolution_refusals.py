"""What is no kernel, no covariance, no block, no grid and no orthogonal convolution, each with its sentence."""

import numpy as np
import pytest
from sympy import Symbol

import meanfield as mf
from meanfield.convolution import delta_orthogonal, spatial_covariance, spatial_modes
from solvers.iterate import NotConverged

ERF, UNIFORM = mf.erf >> mf.Dense(2.25, 0.09), (1 / 3, 1 / 3, 1 / 3)


@pytest.mark.parametrize(
    ("kernel", "error", "message"),
    [
        ((0.5, 0.4, 0.2), ValueError, "sum to 1, not to 1.1: divide by the sum"),
        ((-0.5, 1.0, 0.5), ValueError, "at least 0, but one is -0.5"),
        ((0.5, float("nan"), 0.5), ValueError, r"kernel must be finite, but kernel\[1\] is nan"),
        ((0.5, 0.5), ValueError, r"odd number of taps on each axis.*the shape is \(2,\): add zeros"),
        (1.0, ValueError, "odd number of taps"),
        ((), ValueError, "odd number of taps"),
        ("abc", TypeError, "kernel must be an array of numbers, not str"),
    ],
)
def test_bad_kernels_are_refused(kernel, error, message):
    with pytest.raises(error, match=message):
        spatial_covariance(ERF, np.eye(3), kernel=kernel, depth=1)
    with pytest.raises(error, match=message):
        spatial_modes(ERF, kernel, positions=3)


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ([1.0, 2.0, 3.0], ValueError, "start has 1 axes of positions, in the shape"),
        (np.ones((2, 3)), ValueError, r"not \(2, 3\)"),
        (np.ones((2, 2, 2)), ValueError, r"not \(2, 2, 2\)"),
        (np.empty((0, 0)), ValueError, r"not \(0, 0\)"),
        ([[1.0, 0.5], [0.4, 1.0]], ValueError, "differs from its transpose by 0.1"),
        ([[1.0, 1.1], [1.1, 1.0]], ValueError, "semidefinite, but has the eigenvalue -0.1"),
        ([[-1.0]], ValueError, "semidefinite, but has the eigenvalue -1"),
        ([[1.0, np.nan], [np.nan, 1.0]], ValueError, r"start must be finite, but start\[0, 1\] is nan"),
        ([["a"]], TypeError, "start must be an array of numbers, not list"),
    ],
)
def test_bad_starts_are_refused(start, error, message):
    with pytest.raises(error, match=message):
        spatial_covariance(ERF, start, kernel=UNIFORM, depth=1)


@pytest.mark.parametrize(
    ("depth", "error", "message"),
    [
        (0, ValueError, "depth must be at least 1, not 0"),
        (2.0, TypeError, "depth must be a whole number"),
        (True, TypeError, "depth must be a whole number"),
    ],
)
def test_a_depth_is_a_positive_whole_number(depth, error, message):
    with pytest.raises(error, match=message):
        spatial_covariance(ERF, np.eye(3), kernel=UNIFORM, depth=depth)


@pytest.mark.parametrize(
    ("block", "error", "message"),
    [
        (mf.erf >> mf.Dense(bias_var=0), ValueError, "weight_var of .* has no value"),
        (mf.erf >> mf.Dense(Symbol("w", positive=True), 0), ValueError, "w of .* has no value"),
        (mf.erf, ValueError, "alone is not a block"),
        (mf.Identity() + ERF, ValueError, "takes the place of the one Dense layer at the end"),
        (ERF**2, ValueError, "takes the place of the one Dense layer"),
        (ERF >> mf.LayerNorm(), ValueError, "takes the place of the one Dense layer"),
        (mf.Dense(1, 0) >> ERF, ValueError, "takes the place of the one Dense layer"),
        ("erf", TypeError, "a block is a layer"),
    ],
)
def test_other_blocks_are_refused(block, error, message):
    with pytest.raises(error, match=message):
        spatial_covariance(block, np.eye(3), kernel=UNIFORM, depth=1)
    with pytest.raises(error, match=message):
        spatial_modes(block, UNIFORM, positions=3)


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        ((3, 3), ValueError, "one number for each of the 1 axes"),
        (0, ValueError, "positions must be at least 1"),
        (2.5, TypeError, "positions must be a whole number"),
        ("10", TypeError, "positions must be a whole number"),
    ],
)
def test_bad_positions_are_refused(positions, error, message):
    with pytest.raises(error, match=message):
        spatial_modes(ERF, UNIFORM, positions=positions)


def test_lengths_without_a_fixed_point_have_no_modes():
    with pytest.raises(ValueError, match="grow without bound, so that nothing settles"):
        spatial_modes(mf.relu >> mf.Dense(3, 0), UNIFORM, positions=3)


def test_a_covariance_that_leaves_the_numbers_is_reported():
    with pytest.raises(NotConverged, match=r"behind layer 2 of .* is not finite"):
        spatial_covariance(mf.relu >> mf.Dense(1e200, 0), np.eye(3), kernel=UNIFORM, depth=3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((2, 3, 3), {}, ValueError, "3 input channels need at least as many output channels, not 2"),
        ((3, 3, 2), {}, ValueError, "kernel_size must be odd on each axis"),
        ((3, 3, (3, 4)), {}, ValueError, "kernel_size must be odd on each axis"),
        ((3, 3, ()), {}, ValueError, "kernel_size must be odd"),
        ((3, 3, 2.5), {}, TypeError, "kernel_size must be a whole number"),
        ((3.0, 3, 3), {}, TypeError, "channels_out must be a whole number"),
        ((3, 0, 3), {}, ValueError, "channels_in must be at least 1"),
        ((3, 3, 3), {"weight_var": 0}, ValueError, "weight_var must be finite and greater than 0"),
        ((3, 3, 3), {"weight_var": float("nan")}, ValueError, "weight_var must be finite"),
        ((3, 3, 3), {"seed": -1}, ValueError, "a seed is not negative"),
    ],
)
def test_bad_delta_orthogonal_weights_are_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        delta_orthogonal(*arguments, **({"seed": 0} | options))
