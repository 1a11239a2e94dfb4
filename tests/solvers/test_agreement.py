"""The verdict: both mistakes are as rare as promised, and everything else about it is reproducible."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from solvers.agreement import Decision, decide, extrapolate, looks, round_up

Sampler = Callable[[int, int, int], np.ndarray]
WIDTHS = (32, 64, 128)


def networks(truth: Any, bias: Any = 0.0, noise: Any = 1.0, seed: int = 0, most: int = 4096) -> Sampler:
    """Observations truth + bias/width + noise; network number i is the same however batches are cut."""
    truth = np.atleast_1d(np.asarray(truth, dtype=float))
    tables: dict[int, np.ndarray] = {}

    def draw(width: int, start: int, stop: int) -> np.ndarray:
        if width not in tables:
            tables[width] = np.random.default_rng([seed, width]).standard_normal((most, truth.size))
        return truth + np.asarray(bias) / width + np.asarray(noise) * tables[width][start:stop]

    return draw


def verdict(theory: Any, draw: Sampler, **options: Any) -> Decision:
    theory = np.atleast_1d(np.asarray(theory, dtype=float))
    options = {"widths": WIDTHS, "draws": 100, "max_draws": 400, **options}
    scale = options.pop("scale", np.abs(theory))
    return decide([f"q{i}" for i in range(theory.size)], theory, scale, draw, **options)


def test_a_true_theory_agrees_in_spite_of_its_bias() -> None:
    result = verdict([1.5, -2.0], networks([1.5, -2.0], bias=[20.0, -30.0], noise=0.02))
    assert result.outcome == "agrees"
    assert (result.draws, result.looks, result.draws_needed) == (100, 3, None)
    assert (result.widths, result.margin, result.alpha) == (WIDTHS, 0.02, 1e-3)
    for row, label, theory in zip(result.rows, ("q0", "q1"), (1.5, -2.0), strict=True):
        assert (row.label, row.theory, row.outcome) == (label, theory, "agrees")
        assert row.margin == pytest.approx(0.02 * abs(theory))
        assert -row.margin <= row.low < row.estimate - theory < row.high <= row.margin
        assert row.estimate == pytest.approx(theory, abs=4 * row.standard_error)


def test_a_constant_off_by_ten_percent_disagrees() -> None:
    result = verdict([1.5, -2.2], networks([1.5, -2.0], bias=[20.0, -30.0], noise=0.02))
    assert result.outcome == "disagrees"
    assert [row.outcome for row in result.rows] == ["agrees", "disagrees"]
    assert result.rows[1].low > result.rows[1].margin
    assert result.draws_needed is None


def test_a_margin_is_relative_to_the_scale() -> None:
    covariance = networks([0.003], noise=0.01)
    assert verdict([0.0], covariance, scale=[1.0]).outcome == "agrees"
    assert verdict([0.0], covariance, scale=[0.03]).outcome == "disagrees"


@pytest.mark.parametrize("truth", [1.0, 0.9])
def test_too_few_draws_are_inconclusive_and_say_how_many_settle_it(truth: float) -> None:
    needed = []
    for seed in range(20):
        result = verdict(1.0, networks(truth, noise=0.4, seed=seed), margin=0.04, max_draws=200)
        if result.outcome == "inconclusive":
            assert result.draws == 200 and result.draws_needed is not None
            needed.append(result.draws_needed)
    assert len(needed) >= 18
    outcomes = []
    for seed, count in enumerate(needed):
        draw = networks(truth, noise=0.4, seed=1000 + seed, most=count)
        outcomes.append(verdict(1.0, draw, margin=0.04, draws=count, max_draws=count).outcome)
    right = "agrees" if truth == 1.0 else "disagrees"
    assert outcomes.count(right) >= 0.75 * len(needed)
    assert outcomes.count("inconclusive") == len(needed) - outcomes.count(right)


def test_no_number_of_draws_is_promised_on_the_margin_itself() -> None:
    result = verdict(1.0, networks(1.02, noise=0.001, most=4096), draws=4096, max_draws=4096)
    assert result.outcome == "inconclusive"
    assert result.draws_needed is None


def test_a_true_theory_is_almost_never_refused() -> None:
    outcomes = [verdict(1.0, networks(1.0, bias=3.0, noise=10.0, seed=seed)).outcome for seed in range(400)]
    assert outcomes.count("disagrees") <= 2  # alpha = 1e-3; more than 2 of 400 has probability 8e-3


def test_the_level_is_kept_at_small_samples_and_estimated_weights() -> None:
    """At 8 draws, 4 looks and alpha = 0.1 false alarms can be counted, and stay below alpha."""
    options = {"draws": 8, "max_draws": 64, "alpha": 0.1, "margin": 1e-9, "widths": (10, 20, 40, 80)}
    count = sum(verdict(1.0, networks(1.0, 3.0, 0.1, s, 64), **options).outcome == "disagrees" for s in range(400))
    assert 4 <= count <= stats.binom.ppf(0.999, 400, 0.1)


def test_a_theory_off_by_exactly_the_margin_is_almost_never_accepted() -> None:
    """The worst case of an equivalence test, at an alpha where errors can be counted."""
    count = 0
    for seed in range(400):
        draw = networks(1.02, bias=3.0, noise=0.01, seed=seed)
        count += verdict(1.0, draw, alpha=0.05).outcome == "agrees"
    assert 1 <= count <= stats.binom.ppf(0.999, 400, 0.05)


def test_one_component_off_by_the_margin_is_enough() -> None:
    truth = np.array([1.0, 1.02, 1.0])
    outcomes = [verdict(np.ones(3), networks(truth, noise=0.01, seed=s)).outcome for s in range(100)]
    assert "agrees" not in outcomes


def test_batches_do_not_depend_on_how_they_are_cut() -> None:
    draw = networks([1.0, 2.0], bias=5.0, noise=1.0)
    cut = verdict([1.0, 2.0], draw, draws=50, max_draws=777)
    whole = verdict([1.0, 2.0], draw, draws=777, max_draws=777)
    assert cut.draws == whole.draws == 777
    for a, b in zip(cut.rows, whole.rows, strict=True):
        assert a.estimate == pytest.approx(b.estimate, rel=1e-13)
        assert a.standard_error == pytest.approx(b.standard_error, rel=1e-12)


def test_every_network_is_drawn_once_and_progress_is_told() -> None:
    calls: list[tuple[int, int, int]] = []
    steps: list[tuple[int, int]] = []
    source = networks(1.0)

    def draw(width: int, start: int, stop: int) -> np.ndarray:
        calls.append((width, start, stop))
        return source(width, start, stop)

    result = verdict(1.0, draw, draws=60, max_draws=200, progress=lambda *step: steps.append(step))
    assert result.outcome == "inconclusive"
    for width in WIDTHS:
        assert [c[1:] for c in calls if c[0] == width] == [(0, 60), (60, 120), (120, 180), (180, 200)]
    assert [total for _, total in steps] == [600] * 12
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (600, 600)


def test_looks_are_planned_in_advance() -> None:
    assert looks(100, 100) == (100,)
    assert looks(100, 199) == (100, 199)
    assert looks(100, 800) == (100, 200, 400, 800)
    assert looks(100, 801) == (100, 200, 400, 800, 801)
    early = verdict(1.0, networks(1.0, noise=0.01), max_draws=800)
    assert (early.looks, early.draws) == (4, 100)


def test_alpha_is_shared_by_looks_and_components() -> None:
    result = verdict([1.0, 2.0], networks([1.0, 2.0]), draws=100, max_draws=400)
    row = result.rows[0]
    wanted = stats.t.isf(1e-3 / (2 * 3 * 2), 399)
    assert (row.high - row.low) / (2 * row.standard_error) == pytest.approx(wanted, rel=1e-9)


def test_the_extrapolation_is_weighted_least_squares() -> None:
    rng = np.random.default_rng(1)
    widths = np.array([10, 20, 50, 100])
    means, variances = rng.normal(size=(4, 3)), rng.uniform(0.1, 2.0, size=(4, 3))
    estimate, error = extrapolate(widths, means, variances, 10**9)
    small, small_error = extrapolate(widths, means, variances, 9)
    for i in range(3):
        weights = 1 / np.sqrt(variances[:, i])
        fit, covariance = np.polyfit(1 / widths, means[:, i], 1, w=weights, cov="unscaled")
        assert estimate[i] == small[i] == pytest.approx(fit[1], rel=1e-12)
        assert error[i] == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-7)
    assert (small_error > error).all()


def test_two_widths_give_the_line_through_both() -> None:
    means, variances = np.array([[3.0], [2.0]]), np.array([[0.5], [0.01]])
    estimate, error = extrapolate((10, 20), means, variances, 7)
    assert estimate[0] == pytest.approx(2 * 2.0 - 3.0)
    assert error[0] == pytest.approx(np.sqrt(4 * 0.01 + 0.5))


def test_the_standard_error_tells_the_truth_at_eight_draws() -> None:
    """Without Meier's factor the squared standard error would be 0.76 of the variance here."""
    rng = np.random.default_rng(2)
    widths = (10, 20, 40, 80)
    data = rng.standard_normal((8, 4, 20000))
    estimate, error = extrapolate(widths, data.mean(axis=0), data.var(axis=0, ddof=1) / 8, 7)
    assert np.mean(error**2) / np.var(estimate) == pytest.approx(1.0, abs=0.12)


def test_deterministic_observations_are_compared_exactly() -> None:
    agreed = verdict([1.0, 2.0], networks([1.019, 2.0], bias=1.0, noise=[0.0, 0.001]))
    assert agreed.outcome == "agrees"
    assert agreed.rows[0].standard_error == pytest.approx(0.0, abs=1e-15)
    assert verdict(1.0, networks(1.021, bias=1.0, noise=0.0)).outcome == "disagrees"


def test_a_width_that_never_varies_does_no_harm() -> None:
    source = networks(1.0, bias=1.0, noise=0.05)

    def draw(width: int, start: int, stop: int) -> np.ndarray:
        return source(width, start, stop) if width != 64 else np.full((stop - start, 1), 1.0 + 1.0 / 64)

    assert verdict(1.0, draw, max_draws=4000).outcome == "agrees"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_observations_are_named_by_position(bad: float) -> None:
    source = networks([1.0, 2.0])

    def draw(width: int, start: int, stop: int) -> np.ndarray:
        sample = source(width, start, stop).copy()
        if width == 64 and start <= 137 < stop:
            sample[137 - start, 1] = bad
        return sample

    with pytest.raises(ValueError, match=f"got {bad} at width 64, draw 137, component 'q1'; look at that network"):
        verdict([1.0, 2.0], draw)


def test_an_overflow_is_never_a_verdict() -> None:
    with pytest.raises(ValueError, match="got an overflow at width 32, component 'q0'"):
        verdict(1.0, networks(1.0, noise=1e200))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"widths": (64,)}, ValueError, r"at least two distinct widths, got \(64,\); add one"),
        ({"widths": (64, 64)}, ValueError, "at least two distinct widths"),
        ({"widths": (0, 64)}, ValueError, "a width must be at least 1, got 0"),
        ({"widths": (32.0, 64)}, TypeError, "a width must be an int, got 32.0"),
        ({"draws": 7}, ValueError, "draws must be at least 8, got 7"),
        ({"draws": True}, TypeError, "draws must be an int, got True"),
        ({"draws": 50, "max_draws": 49}, ValueError, "max_draws must be at least 50, got 49"),
        ({"margin": 0.0}, ValueError, "margin must be positive, got 0.0"),
        ({"margin": np.nan}, ValueError, "margin must be positive, got nan"),
        ({"alpha": 0.0}, ValueError, "alpha must lie between 0 and 0.5, got 0.0"),
        ({"alpha": 0.5}, ValueError, "alpha must lie between 0 and 0.5, got 0.5"),
        ({"alpha": np.nan}, ValueError, "alpha must lie between 0 and 0.5, got nan"),
        ({"theory": [1.0, np.nan]}, ValueError, "theory must be finite, got nan for 'b'"),
        ({"theory": [np.inf, 1.0]}, ValueError, "theory must be finite, got inf for 'a'"),
        ({"theory": [1.0]}, ValueError, "the same length, got 2 labels"),
        ({"theory": [1.0, 1j]}, TypeError, "theory must hold real numbers, got dtype complex128"),
        ({"theory": ["1", "2"]}, TypeError, "theory must hold real numbers"),
        ({"scale": [[1.0, 1.0]]}, ValueError, "the same length"),
        ({"scale": [1.0, 0.0]}, ValueError, "scale must be positive and finite, got 0.0 for 'b'"),
        ({"scale": [np.nan, 1.0]}, ValueError, "scale must be positive and finite, got nan for 'a'"),
        ({"labels": [], "theory": [], "scale": []}, ValueError, "the same length, got 0 labels"),
        (
            {"draw": lambda w, a, b: np.zeros((b - a, 3))},
            ValueError,
            r"must have shape \(8, 2\), got \(8, 3\)",
        ),
        (
            {"draw": lambda w, a, b: np.zeros((b - a, 2), complex)},
            TypeError,
            r"draw\(32, 0, 8\) must hold real",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(changes: dict[str, Any], error: type, message: str) -> None:
    good = {
        **{"labels": ["a", "b"], "theory": [1.0, 2.0], "scale": [1.0, 1.0], "draw": networks([1.0, 2.0])},
        **{"widths": (32, 64), "draws": 8, "max_draws": 16, "margin": 0.1, "alpha": 1e-3},
    }
    arguments = {**good, **changes}
    first = [arguments.pop(name) for name in ("labels", "theory", "scale", "draw")]
    with pytest.raises(error, match=message):
        decide(*first, **arguments)


def test_widths_are_a_set() -> None:
    draw = networks(1.0)
    assert verdict(1.0, draw, widths=(128, 32, 64, 32)) == verdict(1.0, draw, widths=WIDTHS)


def test_significant_digits_round_up() -> None:
    assert [round_up(n) for n in (9, 10, 99, 100, 101, 1201, 99001)] == [9, 10, 99, 100, 110, 1300, 100000]


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    factor=st.floats(1e-30, 1e30),
    truth=st.sampled_from([1.0, 1.005, 1.03, 1.1]),
    noise=st.sampled_from([0.01, 0.1, 1.0]),
)
def test_units_do_not_matter(seed: int, factor: float, truth: float, noise: float) -> None:
    draw = networks(truth, bias=2.0, noise=noise, seed=seed, most=200)
    plain = verdict(1.0, draw, max_draws=200)
    scaled = verdict(factor, lambda *batch: factor * draw(*batch), max_draws=200)
    assert (plain.outcome, plain.draws) == (scaled.outcome, scaled.draws)
    assert plain.rows[0].low * factor == pytest.approx(scaled.rows[0].low, rel=1e-6, abs=1e-9 * factor)
    assert (plain.draws_needed is None) == (scaled.draws_needed is None)
