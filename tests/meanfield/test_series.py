"""Kernels of activations without closed dual: series over the points against direct integration, entry by entry."""

import numpy as np
import pytest

import meanfield as mf
from meanfield import series
from meanfield.build import Block

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 9)) * np.exp(0.4 * RNG.standard_normal((80, 1)))
X[3], X[5], X[7] = 1.0001 * X[2], X[4], X[6] + 1e-6 * X[8]
DENSE = mf.Dense(1.5, 0.05)
NETS = {
    "tanh": DENSE >> (mf.tanh >> DENSE) ** 3,
    "branch": DENSE >> (0.6 * mf.Identity() + 0.8 * (mf.tanh >> DENSE)) ** 2,
}


def walked(times, weight, bias, shortcut=0.0, branch=1.0):
    """NNGP and NTK of Dense and `times` blocks shortcut x + branch (tanh >> Dense), by direct integration."""
    x = X[:20]
    k = 1.5 * x @ x.T / x.shape[1] + 0.05
    t = k.copy()
    phi, slope = mf.dual("tanh"), mf.dual("1 - tanh(x)**2")
    for _ in range(times):
        p, q = np.meshgrid(np.diag(k), np.diag(k), indexing="ij")
        after = weight * phi(p, q, k) + bias
        t = shortcut**2 * t + branch**2 * (after + weight * slope(p, q, k) * t)
        k = shortcut**2 * k + branch**2 * after
    return k, t


@pytest.mark.parametrize(
    ("name", "times", "options"), [("tanh", 3, {}), ("branch", 2, {"shortcut": 0.6, "branch": 0.8})]
)
def test_series_are_integrals(monkeypatch, name, times, options):
    taken, step = [], series.step
    monkeypatch.setattr(series, "step", lambda *a, **o: taken.append(step(*a, **o)) or taken[-1])
    found = mf.kernel(NETS[name], X, get=("nngp", "ntk"))
    assert len(taken) == times and all(taken)
    right, off = walked(times, 1.5, 0.05, **options), walked(times, 1.515, 0.05, **options)
    for one, wanted, twin in zip(found, right, off, strict=True):
        assert abs(one[:20, :20] - wanted).max() < 2e-14 * wanted.max()
        assert np.array_equal(one, one.T)
        assert abs(one[:20, :20] - twin).max() > 1e-3


def test_rectangles_are_blocks():
    whole = mf.kernel(NETS["tanh"], X, get=("nngp", "ntk"))
    part = mf.kernel(NETS["tanh"], X[:60], X[60:], get=("nngp", "ntk"))
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_allclose(other, one[:60, 60:], atol=1e-14)


def test_a_few_entries_out_of_reach_are_integrated(monkeypatch):
    whole = mf.kernel(NETS["tanh"], X)
    calls = []
    integrate = series._integrate
    monkeypatch.setattr(series.series, "MOST", 64)
    monkeypatch.setattr(series, "SPARE", 1.0)
    monkeypatch.setattr(series, "_integrate", lambda *a: calls.append(len(a[2])) or integrate(*a))
    np.testing.assert_allclose(mf.kernel(NETS["tanh"], X), whole, atol=1e-13)
    assert max(calls) > 0


def test_means_over_normalized_variances_have_no_series():
    """They are no means over the layer's own p, q, k."""
    assert series.update(Block(mf.RMSNorm() >> mf.tanh >> DENSE).shape, "nngp") is None
    assert series.update(Block(mf.tanh >> DENSE).shape, "ntk") is not None
