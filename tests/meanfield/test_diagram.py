"""Phase diagrams: a grid against the same numbers found one by one, and against a plain second solver."""

import json

import numpy as np
import pytest
from scipy.optimize import brentq

import meanfield as mf

WEIGHTS, BIASES = np.linspace(0.3, 4, 7), np.array([0.0, 0.01, 0.2, 0.5])


def difference(found: mf.PhaseDiagram, i: int, j: int, block: mf.Layer) -> dict[str, float]:
    """Relative gaps to mf.phase."""
    single = mf.phase(block)
    names = ("q", "chi_1", "chi_q", "c", "chi_c")
    return {n: abs(getattr(found, n)[i, j] - getattr(single, n)) / max(abs(getattr(single, n)), 1e-3) for n in names}


@pytest.mark.parametrize("name", ["tanh", "erf", "gelu", "relu", "elu", "hard_tanh"])
def test_the_grid_holds_what_single_points_hold(name: str) -> None:
    """Fixed points and slopes of the table against those of mf.phase, kinks and unbounded growth included."""
    found = mf.phase_diagram(name, weight_var=WEIGHTS, bias_var=BIASES)
    assert found.q.shape == (7, 4) and (found.phase != "").all()
    for i in range(0, 7, 2):
        for j in range(4):
            if np.isinf(found.q[i, j]) or found.q[i, j] == 0:
                assert mf.phase(mf.activation(name) >> mf.Dense(WEIGHTS[i], BIASES[j])).q == found.q[i, j]
                continue
            gaps = difference(found, i, j, mf.activation(name) >> mf.Dense(WEIGHTS[i], BIASES[j]))
            assert max(gaps.values()) < 1e-11, (i, j, gaps)


def test_residuals_vanish() -> None:
    """V(q*) = q* and C(c*) = c* with duals that the table did not use, to 1e-12; a shifted grid would not do."""
    weights, biases = np.linspace(0.5, 4, 9), np.linspace(0.01, 0.5, 5)
    found = mf.phase_diagram("tanh", weight_var=weights, bias_var=biases)
    w, b = np.meshgrid(weights, biases, indexing="ij")
    square = mf.mean("tanh(x)**2")(found.q)
    assert np.abs(w * square + b - found.q).max() < 2e-12 * found.q.max()
    mixed = (w * mf.dual("tanh")(found.q, found.q, found.q * found.c) + b) / found.q
    assert np.abs(mixed - found.c).max() < 1e-12
    assert np.abs(1.01 * w * square + b - found.q).max() > 1e-3


def test_close_to_criticality_the_correlation_keeps_its_digits() -> None:
    """1 - c* = 2 (chi_1 - 1)/C'' to first order, where a difference of cosines holds nothing."""
    edge = mf.edge_of_chaos("tanh", bias_var=0.05).weight_var
    steps = np.array([1e-7, 1e-6, 1e-5])
    found = mf.phase_diagram("tanh", weight_var=edge + steps, bias_var=[0.05])
    ratio = found.one_minus_c[:, 0] / (found.chi_1[:, 0] - 1)
    assert np.ptp(ratio) < 1e-4 * ratio[0] and (found.one_minus_c > 0).all()
    at = found.q[0, 0]
    curvature = edge * at * mf.mean("(2*tanh(x)*(1 - tanh(x)**2))**2")(at)
    assert ratio[0] == pytest.approx(2 / curvature, rel=1e-5)
    assert set(found.phase[:, 0]) == {"chaotic"}


def test_the_edge_is_a_curve_not_a_search() -> None:
    """Every point of it is critical, and it passes through the printed one."""
    found = mf.phase_diagram("tanh", weight_var=WEIGHTS, bias_var=BIASES)
    weight_var, bias_var = found.edge
    order = np.argsort(bias_var)
    assert np.interp(0.05, bias_var[order], weight_var[order]) == pytest.approx(1.760954639606739, rel=1e-3)
    on_it = mf.phase_diagram("tanh", weight_var=[1.760954639606739], bias_var=[0.05])
    assert on_it.phase[0, 0] == "critical" and on_it.one_minus_c[0, 0] < 1e-9


def test_unstable_lengths_are_marked() -> None:
    """GELU below its half-stable point: several fixed points, or one that lengths leave."""
    found = mf.phase_diagram("gelu", weight_var=np.linspace(1.5, 3.5, 21), bias_var=np.linspace(0, 0.3, 16))
    assert (found.fixed_points > 1).any() and (found.fixed_points <= 1).any()
    assert not found.stable.all() and found.stable.any()
    edge = mf.edge_of_chaos("gelu", bias_var=0.01)
    assert not edge.stable
    start = mf.phase_diagram("gelu", weight_var=[edge.weight_var], bias_var=[0.01], q0=edge.q)
    assert start.chi_q[0, 0] == pytest.approx(edge.chi_q, abs=1e-6) and not start.stable[0, 0]


def test_a_plain_solver_agrees() -> None:
    """brentq on trapezoid sums, no table, no derivative."""
    z = np.arange(-12, 12, 0.02)
    weight = np.exp(-z * z / 2) * 0.02 / np.sqrt(2 * np.pi)
    found = mf.phase_diagram("tanh", weight_var=[2.3], bias_var=[0.07])
    q = brentq(lambda q: 2.3 * (weight * np.tanh(np.sqrt(q) * z) ** 2).sum() + 0.07 - q, 1e-3, 10, xtol=1e-14)
    assert found.q[0, 0] == pytest.approx(q, rel=1e-13)


def test_other_blocks_are_solved_point_by_point() -> None:
    """Dropout and normalisation, whose maps are no w A(q) + b."""
    block = mf.tanh >> mf.Dropout(0.9) >> mf.Dense()
    found = mf.phase_diagram(block, weight_var=[1.69], bias_var=[0.05])
    assert found.q[0, 0] == pytest.approx(0.642963906909, abs=1e-11)
    assert found.c[0, 0] == pytest.approx(0.381452398606, abs=1e-11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_var": [], "bias_var": [0]}, "non-empty one-dimensional grid"),
        ({"weight_var": [1, np.nan], "bias_var": [0]}, r"weight_var\[1\] is not"),
        ({"weight_var": [2, 1], "bias_var": [0]}, "must be ascending: sort it first"),
        ({"weight_var": [1, 2], "bias_var": [-0.1, 0]}, "at least 0, not -0.1"),
        ({"weight_var": [0, 2], "bias_var": [0]}, "greater than 0, not 0"),
        ({"weight_var": [[1]], "bias_var": [0]}, r"not of shape \(1, 1\)"),
        ({"weight_var": [1], "bias_var": [0], "q0": -1.0}, "a length to start from"),
    ],
)
def test_bad_grids_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mf.phase_diagram("tanh", **arguments)


def test_a_block_without_free_variances_is_refused() -> None:
    with pytest.raises(ValueError, match="write Dense"):
        mf.phase_diagram(mf.tanh >> mf.Dense(1.5, 0.05), weight_var=[1], bias_var=[0])


def test_a_diagram_can_be_written_and_drawn() -> None:
    """Columns, JSON, a picture with the curve."""
    found = mf.phase_diagram("tanh", weight_var=WEIGHTS, bias_var=BIASES[1:])
    assert len(found.columns()["xi_c"]) == 21 and json.loads(json.dumps(found.to_dict()))["block"].startswith("tanh")
    assert "ordered" in str(found) and "chaotic" in str(found)
    ax = found.plot()
    assert ax.get_xlabel() == "weight_var" and len(ax.lines) == 1


def test_labelled_arrays_where_xarray_is_installed_and_a_hint_where_not():
    found = mf.phase_diagram("erf", weight_var=[1.0, 2.0, 3.0], bias_var=[0.0, 0.1])
    try:
        import xarray
    except ImportError:
        with pytest.raises(ImportError, match="pip install xarray, or use columns"):
            found.to_xarray()
        return
    data = found.to_xarray()
    assert isinstance(data, xarray.Dataset) and data.q.dims == ("weight_var", "bias_var")
    assert float(data.q.sel(weight_var=2.0, bias_var=0.1)) == found.q[1, 1]
