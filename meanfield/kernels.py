"""Infinite-width kernels of whole networks on data: NNGP and NTK, one pair map walked through the depth for every
entry.

The input Gram is x1 @ x2.T/features and the tangent starts at 0; variances are walked once per point (depth.py),
covariances and tangents once per pair, below the diagonal alone where x2 is None: in tiles through the whole depth
where all means are formulas (tiles.py), layer by layer on the whole matrix where some are integrals (layers.py).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield import bounded, images, layers, tiles
from meanfield.blas import one_blas_thread
from meanfield.build import Array
from meanfield.depth import stages
from meanfield.progress import Report, progress
from solvers import gram
from solvers.iterate import NotConverged
from symbolic.networks import Layer
from symbolic.pictures import is_spatial
from symbolic.signals import FEATURES, kinds_through

KERNELS = ("nngp", "ntk")
TYPES = ("float64", "float32")


def kernel(
    net: Layer,
    x1: Any,
    x2: Any = None,
    *,
    get: Any = "nngp",
    dtype: Any = np.float64,
    out: Any = None,
    client: Any = None,
    error: bool = False,
) -> Any:
    """The NNGP or NTK of a network between the rows of x1 and of x2 (points, features).

    Of a network with convolutions or pooling between pictures (points, height, width, channels) or (points, length,
    channels): (n1, n2) where it ends flat, else all pairs of pixels, (n1, n2, *positions, *positions). Of one with
    attention between sequences (points, tokens, features) of infinitely many heads; of one with Spectral layers between
    functions (points, *grid, channels), where Conv(1) acts on each position. All entries are exact to rounding
    or to the tolerance of integrals, 1e-11 or so, but for softmax attention at the scale 1/sqrt(d), whose mean over
    scores is known to 1e-9 to 1e-6 of the tokens' variances for up to four tokens, and for more, by fixed points, to a
    standard error of 3e-4 of them; NotConverged where it is beyond 1e-3.

    `get` is "nngp", "ntk", or a tuple of both, which gives a tuple in that order. x2=None is x1 with itself: a
    symmetric matrix, and the diagonal of one input with itself (which differs from two equal inputs under dropout).
    dtype=np.float32 rounds entries, computed in float64, when they are stored: half the memory, at no loss in depth.
    `out`, a path, streams the entries into a Zarr store there, with the workers of `client` if that is given: see
    mf.stored_kernel.

    error=True gives (kernel, bounds) in the place of each kernel, bounds of its shape: |entry - limit| <= bound for the
    network with these float64 data and numbers. Proved: how errors grow from layer to layer (to first order in errors
    of variances, with 1 % room), what a truncated series lacks. Estimated: rounding, as a multiple of the unit roundoff
    for each layer; integrals and interpolants, by their own error estimates. Takes 1.5 times as long
    as a kernel of series, 15 to 40 times as long as one of formulas. Of a network with softmax attention the bounds are
    estimated: 5 standard deviations of 5 runs with other points, in 5 times the time.

    Raises ValueError for shapes that do not fit, entries that are not finite (with their position), networks without
    all their numbers, or error=True with out=; NoRule for networks that cannot start from data, and where no bound is
    known (pictures without softmax attention, the NTK of an activation that jumps); NotConverged where a mean cannot be
    integrated.
    """
    kind = precision(dtype)
    if error and (out is not None or client is not None):
        raise ValueError("error=True bounds kernels in memory alone, not those that out= and client= write to a store")
    if out is not None:
        from meanfield.stored import stored_kernel

        return stored_kernel(net, x1, x2, get=get, dtype=kind, out=out, client=client)
    if client is not None:
        raise ValueError("client= needs out=, the path of the store that its workers write to")
    a, b = checked(net, x1, x2, get)
    with progress("kernel") as report:
        found = (bounded_entries if error else entries)(net, a, b, get, dtype=kind, report=report)
    return found[0] if isinstance(get, str) else found


def checked(net: Layer, x1: Any, x2: Any, get: Any) -> tuple[Array, Array | None]:
    """The data as arrays, if a kernel of the network can start from them; errors are those of `kernel`."""
    for name in (get,) if isinstance(get, str) else tuple(get):
        if name not in KERNELS:
            raise ValueError(f"unknown kernel {name!r}; known are {' and '.join(KERNELS)}")
    if not isinstance(net, Layer):
        raise TypeError(
            f"a kernel is that of a network such as mf.Dense(...) >> mf.relu >> mf.Dense(...), not of {net!r}"
        )
    if is_spatial(net):
        return images.checked(net, x1, x2)
    if FEATURES not in kinds_through(net):
        raise ValueError(f"'{net}' starts with an activation, but data are not Gaussian: put a Dense layer first")
    a = data(x1, "x1")
    b = None if x2 is None else data(x2, "x2")
    if b is not None and a.shape[1] != b.shape[1]:
        raise ValueError(f"x1 and x2 must have the same number of features, not {a.shape[1]} and {b.shape[1]}")
    return a, b


@one_blas_thread()
def entries(
    net: Layer, a: Array, b: Array | None, get: Any, *, dtype: Any = np.float64, report: Report = lambda *_: None
) -> tuple[npt.NDArray[Any], ...]:
    """The kernels `get` between checked data (n1, features) and (n2, features), each (n1, n2)."""
    wanted = (get,) if isinstance(get, str) else tuple(get)
    limit, columns = "ntk" if "ntk" in wanted else "nngp", a if b is None else b
    if is_spatial(net):
        return images.entries(net, a, b, limit, [KERNELS.index(name) for name in wanted], dtype, report)
    through, diagonal = stages(net, _lengths(a), None if b is None else _lengths(b), limit)
    shape, places = (len(a), len(columns)), [KERNELS.index(name) for name in wanted]
    if all(layers.direct(stage, limit, shape[0] * shape[1]) for stage in through):
        found = {place: np.empty(shape, dtype) for place in places}
        finite = tiles.fill(through, a, b, limit, found, report)
    else:
        state = np.zeros((len(diagonal), *shape))
        np.matmul(a, columns.T, out=state[0])
        state[0] /= a.shape[1]
        layers.walk(through, state, limit, b is None, report)
        if b is None:
            gram.complete(state, diagonal)
        with np.errstate(over="ignore"):
            found, finite = {place: state[place].astype(dtype, copy=False) for place in places}, False
    if b is None:
        for place, out in found.items():
            with np.errstate(over="ignore"):
                np.fill_diagonal(out, diagonal[place])
            finite = finite and bool(np.isfinite(np.diagonal(out)).all())
    if not finite:
        _finite(net, found.values())
    return tuple(found[place] for place in places)


def diagonal(net: Layer, x: Any, get: str, *, dtype: Any = np.float64) -> npt.NDArray[Any]:
    """The diagonal (n,) of kernel(net, x, get=get, dtype=dtype) of points (n, features), without the rest."""
    a, _ = checked(net, x, None, get)
    with np.errstate(over="ignore"):
        found = stages(net, _lengths(a), None, get)[1][-1].astype(dtype)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise _infinite(net, row, row, dtype)
    return found


@one_blas_thread()
def bounded_entries(
    net: Layer, a: Array, b: Array | None, get: Any, *, dtype: Any = np.float64, report: Report = lambda *_: None
) -> tuple[tuple[npt.NDArray[Any], npt.NDArray[Any]], ...]:
    """The kernels `get` between checked data, each with bounds on the errors of its entries; NoRule for pictures, save
    sequences behind softmax attention."""
    wanted = (get,) if isinstance(get, str) else tuple(get)
    limit = "ntk" if "ntk" in wanted else "nngp"
    if is_spatial(net):
        return images.scattered(net, a, b, limit, [KERNELS.index(name) for name in wanted], dtype, report)
    through, diagonal = stages(net, _lengths(a), None if b is None else _lengths(b), limit)
    state, off = bounded.walk(through, a, b, diagonal, limit, report)
    found = []
    for place in (KERNELS.index(name) for name in wanted):
        with np.errstate(over="ignore"):
            values = state[place].astype(dtype, copy=False)
        lost = 0.5 * np.finfo(dtype).eps * np.abs(state[place]) if values.dtype != state.dtype else 0.0
        found.append((values, np.nextafter((off[place] + lost).astype(dtype), dtype.type(np.inf), dtype=dtype)))
    _finite(net, (values for values, _ in found))
    return tuple(found)


def _lengths(x: Array) -> Array:
    return np.asarray((x * x).sum(axis=1) / x.shape[1])


def _finite(net: Layer, kernels: Iterable[npt.NDArray[Any]]) -> None:
    """NotConverged, with the position, if an entry is not finite."""
    for entries in kernels:
        for row, values in enumerate(entries):
            if not np.isfinite(values).all():
                column = int(np.flatnonzero(~np.isfinite(values))[0])
                raise _infinite(net, row, column, entries.dtype)


def _infinite(net: Layer, row: int, column: int, dtype: Any) -> NotConverged:
    return NotConverged(
        f"the kernel of '{net}' at points ({row}, {column}) is not finite: a mean diverges, could not be integrated, "
        f"or is too large for {np.dtype(dtype)}"
    )


def precision(given: Any) -> Any:
    """The type of the entries; ValueError for another than float64 and float32."""
    try:
        found = np.dtype(given)
    except TypeError:
        found = None
    if found is None or found.name not in TYPES:
        raise ValueError(f"dtype must be {' or '.join(TYPES)}, not {given!r}")
    return found


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
