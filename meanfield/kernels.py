"""Infinite-width kernels of whole networks on data: NNGP and NTK, one pair map walked through the depth for every
entry.

The input Gram is x1 @ x2.T/features and the tangent starts at 0; variances are walked once per point, covariances and
tangents once per pair, the lower triangle alone where x2 is None. A block whose means are closed is evaluated at
every entry; one whose means are integrals is, unless its entries are few, summed from the Hermite coefficients of its
points, or where that does not serve interpolated in (log p, log q, angle) and refused if not to be trusted to 1e-8.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from meanfield import series
from meanfield.build import Array, Block
from meanfield.progress import progress
from solvers import chebyshev, gram
from solvers.iterate import NotConverged
from symbolic.limits import readable
from symbolic.networks import Layer
from symbolic.signals import FEATURES, kind_after, kinds_through
from symbolic.structure import blocks

KERNELS = ("nngp", "ntk")
TRUSTED = 1e-8
FEW = 2048  # entries below which integrals are evaluated rather than interpolated
Report = Callable[[int, int], None]


def kernel(net: Layer, x1: Any, x2: Any = None, *, get: Any = "nngp") -> Any:
    """The NNGP or NTK of a network between the rows of x1 and of x2 (points, features), float64.

    `get` is "nngp", "ntk", or a tuple of both, which gives a tuple in that order. x2=None is x1 with itself: a
    symmetric matrix, and the diagonal of one input with itself (which differs from two equal inputs under dropout).
    Raises ValueError for shapes that do not fit, entries that are not finite (with their position) or networks
    without all their numbers; NoRule for networks that cannot start from data; NotConverged where a mean cannot be
    integrated.
    """
    wanted = (get,) if isinstance(get, str) else tuple(get)
    for name in wanted:
        if name not in KERNELS:
            raise ValueError(f"unknown kernel {name!r}; known are {' and '.join(KERNELS)}")
    if not isinstance(net, Layer):
        raise TypeError(
            f"a kernel is that of a network such as mf.Dense(...) >> mf.relu >> mf.Dense(...), not of {net!r}"
        )
    if FEATURES not in kinds_through(net):
        raise ValueError(f"'{net}' starts with an activation, but data are not Gaussian: put a Dense layer first")
    a = data(x1, "x1")
    b = a if x2 is None else data(x2, "x2")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x1 and x2 must have the same number of features, not {a.shape[1]} and {b.shape[1]}")
    with progress("kernel") as report:
        state = _walk(net, a, b, "ntk" if "ntk" in wanted else "nngp", x2 is None, report)
    found = tuple(state[KERNELS.index(name)] for name in wanted)
    return found[0] if isinstance(get, str) else found


def data(x: Any, name: str) -> Array:
    """A finite, non-empty (points, features) array of float64; ValueError or TypeError else."""
    try:
        array = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers (points, features), not {type(x).__name__}") from None
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must be a non-empty array of shape (points, features), not of shape {array.shape}")
    if not np.isfinite(array).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, but {name}[{row}, {column}] is {array[row, column]}")
    return array


def _walk(net: Layer, a: Array, b: Array, limit: str, symmetric: bool, report: Report) -> Array:
    """State (components, n1, n2) behind the network."""
    p = (a * a).sum(axis=1) / a.shape[1]
    q = p if symmetric else (b * b).sum(axis=1) / b.shape[1]
    state = np.zeros((2 if limit == "ntk" else 1, len(a), len(b)))
    state[0] = a @ b.T / a.shape[1]
    diagonal = np.stack([p, np.zeros_like(p)])[: len(state)]
    parts, kind, done = list(blocks(net)), FEATURES, 0
    total = sum(times for _, times in parts)
    for layer, times in parts:
        block = Block(readable(layer, kind))
        # A formula is walked through all its layers at once, an interpolant has to be made anew for each.
        direct = block.closed(limit) or state[0].size <= FEW
        for depth in (times,) if direct else (1,) * times:
            left, diagonal = _diagonals(block, limit, diagonal, depth)
            right, q = (left, diagonal[0]) if symmetric else _lengths(block, q, depth)
            _step(block, left, right, state, limit, symmetric, direct)
            done += depth
            report(done, total)
        kind = kind_after(layer, kind)
    if symmetric:
        gram.complete(state, diagonal)
    if not np.isfinite(state).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(state))[0][1:])
        raise NotConverged(
            f"the kernel of '{net}' at points {where} is not finite: a mean diverges or could not be integrated"
        )
    return state


def _diagonals(block: Block, limit: str, diagonal: Array, depth: int) -> tuple[Array, Array]:
    """The variances before each of `depth` layers, and the diagonal state behind the last."""
    before = np.empty((depth, diagonal.shape[1]))
    for layer in range(depth):
        before[layer] = diagonal[0]
        diagonal = block(f"{limit}_diagonal", diagonal.T).T
    return before, diagonal


def _lengths(block: Block, q: Array, depth: int) -> tuple[Array, Array]:
    before, after = _diagonals(block, "nngp", q[None], depth)
    return before, after[0]


def _step(block: Block, p: Array, q: Array, state: Array, limit: str, symmetric: bool, direct: bool) -> None:
    """The state behind the layers whose variances are the rows of p and q, in place."""
    if direct:

        def task(rows: tuple[int, int]) -> None:
            block.gram(limit, p, q, state, rows, triangle=symmetric)
    elif series.step(block, limit, p[0], q[0], state, symmetric=symmetric):
        return
    else:
        interpolant = _interpolant(block, p[0], q[0], state, limit, symmetric)

        def task(rows: tuple[int, int]) -> None:
            chebyshev.apply(interpolant, p[0], q[0], state, rows, triangle=symmetric)

    gram.in_threads(task, len(state[0]), triangle=symmetric)


def _interpolant(block: Block, p: Array, q: Array, state: Array, limit: str, symmetric: bool) -> chebyshev.Interpolant:
    """The block's pair map over the norms and angles that occur."""
    for name, variances in (("x1", p), ("x2", q)):
        if variances.min() <= 0:
            raise ValueError(
                f"row {int(variances.argmin())} of {name} is zero, which '{block.layer}' cannot take: "
                "drop it, or use bias_var > 0"
            )
    norms = min(p.min(), q.min()), max(p.max(), q.max())
    cosine = state[0] / np.sqrt(p)[:, None] / np.sqrt(q)[None, :]
    if symmetric:
        cosine = cosine[np.tril_indices(len(p), -1)]
    least, most = (float(c) for c in (cosine.min(initial=1.0), cosine.max(initial=-1.0)))
    angles = np.arccos(min(most, 1.0)), np.arccos(max(least, -1.0))
    angles = (max(angles[0] - 1e-3, 0.0), min(angles[1] + 1e-3, np.pi))

    def pair_map(p: Array, q: Array, k: Array) -> Array:
        if limit == "nngp":
            return _in_threads(block, limit, np.stack([p, q, k], axis=1))
        zero = _in_threads(block, limit, np.stack([p, q, k, 0 * k], axis=1))
        one = _in_threads(block, "pullback", np.stack([p, q, k], axis=1))
        return np.hstack([zero, one])

    found = chebyshev.interpolate(pair_map, norms, angles)
    if not found.error <= TRUSTED * np.abs(found.coefficients).max():
        raise NotConverged(
            f"'{block.layer}' could not be interpolated to {TRUSTED:g}: "
            f"its means are not smooth enough at variance {norms[1]:.3g}"
        )
    return found


def _in_threads(block: Block, question: str, states: Array) -> Array:
    out: dict[int, Array] = {}

    def part(rows: tuple[int, int]) -> None:
        out[rows[0]] = block(question, states[slice(*rows)])

    gram.in_threads(part, len(states), triangle=False)
    return np.concatenate([out[first] for first in sorted(out)])
