"""Sums over windows against the sum written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.windows import windowed


@given(
    n=st.integers(1, 6), size=st.integers(1, 8), stride=st.integers(1, 4), low=st.integers(0, 4), out=st.integers(1, 6),
    circular=st.booleans(), axes=st.sampled_from([(0,), (1,), (0, 2), (1, 3)]),
)  # fmt: skip
def test_every_window_is_the_sum_written_out(n, size, stride, low, out, circular, axes):
    shape = [2, 3, 2, 3]
    for axis in axes:
        shape[axis] = n
    x = np.random.default_rng(0).standard_normal(shape)
    found = windowed(x, axes, size=size, stride=stride, low=low, out=out, circular=circular)
    for at in np.ndindex(*found.shape):
        total = 0.0
        for d in range(size):
            read = [stride * i + d - low if axis in axes else i for axis, i in enumerate(at)]
            if circular:
                read = [i % n if axis in axes else i for axis, i in enumerate(read)]
            if all(0 <= i < length for i, length in zip(read, x.shape, strict=True)):
                total += x[tuple(read)]
        assert found[at] == pytest.approx(total, rel=1e-12, abs=1e-12)
    assert found.shape == tuple(out if axis in axes else length for axis, length in enumerate(shape))
