"""Kernels beyond memory: tiles of K(x1, x2) streamed into a Zarr store, resumable after a kill.

A store is a Zarr group: arrays x1, x2 (left out where it is x1), one array (n1, n2) for each kernel, chunked by tile,
and `done`, one mark for each tile, written after the tile's data; a tile without its mark is computed again. Tiles
above the diagonal of a symmetric kernel are transposes. The group's attributes hold SHA-256 of what the entries depend
on, and `complete`, which is true only once every tile is marked.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import fields
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Expr, srepr

from meanfield.build import Array
from meanfield.kernels import checked, entries, precision
from meanfield.progress import progress
from symbolic.networks import Layer

TILE = 1024
ROWS = 4096  # rows of data hashed at a time
SAID = {
    "dtype": "another dtype=",
    "network": "another network",
    "get": "other kernels",
    "tile": "another tile=",
    "version": "another version",
}


def stored_kernel(
    net: Layer,
    x1: Any,
    x2: Any = None,
    *,
    get: Any = "nngp",
    dtype: Any = np.float64,
    out: Any,
    tile: int = TILE,
    client: Any = None,
) -> Any:
    """The kernels `get` between the rows of x1 (n1, features) and x2 (n2, features) as Zarr arrays (n1, n2) at `out`.

    Memory holds the data and a few tiles of tile x tile entries. x2=None is x1 with itself. Called again after an
    interruption with the same arguments, it computes only what is missing, to the same bits. `client`, a
    dask.distributed Client whose workers share the file system of `out`, computes tiles in parallel. `get`, `dtype` and
    errors are those of mf.kernel; ValueError also where `out` holds anything else than this kernel, OSError where it
    cannot be written, ImportError without the extra `store` (`distributed` for client=).
    """
    if isinstance(tile, bool) or not isinstance(tile, int) or tile < 1:
        raise ValueError(f"tile must be a whole number of rows, at least 1, not {tile!r}")
    zarr, path = needed("zarr", "store"), Path(out).absolute()
    _cluster(client)
    a, b = checked(net, x1, x2, get)
    terms = _terms(net, a, b, get, precision(dtype).name, tile)
    try:
        if not path.exists():
            # What the network itself cannot do is said before anything is written.
            if entries(net, a[:1], None if b is None else b[:1], get)[0].ndim > 2:
                raise ValueError(f"a stored kernel is a matrix, but '{net}' ends in pictures: end it with Flatten()")
            _create(zarr, path, a, b, terms)
        _same(path, terms)
        store = zarr.open_group(path, mode="r+")
        if not store.attrs["complete"]:
            _fill(path, net, _missing(store), client)
            store.attrs["complete"] = True
    except OSError as error:
        raise OSError(
            f"the kernel could not be written to out={str(out)!r} ({error}): make that possible and call again, "
            "which goes on behind the last finished tile, or choose another path"
        ) from error
    return open_kernel(path)


def open_kernel(path: Any) -> Any:
    """The finished kernel at `path`, read-only: a Zarr array (n1, n2), or a tuple of them if `get` was one.

    Raises ValueError if there is no kernel or an unfinished one, ImportError without the extra `store`.
    """
    store = opened(path, finished=True)
    names = store.attrs["get"]
    return store[names] if isinstance(names, str) else tuple(store[name] for name in names)


def opened(path: Any, *, finished: bool) -> Any:
    """The Zarr group at `path`, read-only; ValueError if it is not a kernel's, or not finished where it must be."""
    zarr = needed("zarr", "store")
    try:
        store = zarr.open_group(Path(path), mode="r")
    except (FileNotFoundError, NotADirectoryError, zarr.errors.ContainsArrayError):
        store = None
    if store is None or "complete" not in store.attrs:
        raise ValueError(f"there is no kernel at {path}: give the path of one that mf.kernel(..., out=) has written")
    if finished and not store.attrs["complete"]:
        raise ValueError(
            f"the kernel at {path} is not finished ({len(_missing(store))} tiles are missing): "
            "call mf.kernel(..., out=) with the same arguments again"
        )
    return store


def needed(module: str, extra: str) -> Any:
    """An optional package, imported; ImportError with the extra that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"kernels on disk need {module}: pip install 'meanfield-calculator[{extra}]'", name=module
        ) from error


def _cluster(client: Any) -> None:
    """TypeError unless client is None or a dask.distributed Client."""
    if client is not None and not isinstance(client, needed("distributed", "distributed").Client):
        raise TypeError(f"client must be a dask.distributed Client, not {client!r}")


def _fingerprint(array: Array) -> str:
    """SHA-256 of shape and bytes, read in blocks of rows."""
    found = sha256(repr(array.shape).encode())
    for rows in cuts(len(array), ROWS):
        found.update(np.ascontiguousarray(array[rows], dtype="<f8").tobytes())
    return found.hexdigest()


def _spelled(part: Any) -> str:
    """A network with all its digits and formulas, which its own text shortens."""
    if isinstance(part, Layer):
        return f"{type(part).__name__}({', '.join(_spelled(getattr(part, f.name)) for f in fields(part))})"
    if isinstance(part, tuple):
        return f"({', '.join(_spelled(value) for value in part)})"
    return srepr(part) if isinstance(part, Expr) else repr(part)


def _terms(net: Layer, a: Array, b: Array | None, get: Any, dtype: str, tile: int) -> dict[str, Any]:
    """What the entries and their bits depend on, as JSON."""
    return {
        "network": sha256(_spelled(net).encode()).hexdigest(),
        "get": get if isinstance(get, str) else list(get),
        "dtype": dtype,
        "tile": tile,
        "x1": _fingerprint(a),
        "x2": None if b is None else _fingerprint(b),
        "version": version("meanfield-calculator"),
    }


def _create(zarr: Any, path: Path, a: Array, b: Array | None, terms: dict[str, Any]) -> None:
    """An empty store, whole or not at all."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}")
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    tile, columns = terms["tile"], a if b is None else b
    try:
        group = zarr.create_group(draft)
        for name, data in (("x1", a), ("x2", b)):
            if data is not None:
                chunks = (min(tile, len(data)), *data.shape[1:])
                array = _array(zarr, group, name, "float64", data.shape, chunks)
                for rows in cuts(len(data), chunks[0]):
                    array[rows] = data[rows]
        shape = (len(a), len(columns))
        names = [terms["get"]] if isinstance(terms["get"], str) else terms["get"]
        for name in dict.fromkeys(names):
            _array(zarr, group, name, terms["dtype"], shape, (min(tile, len(a)), min(tile, len(columns))))
        tiles = tuple(-(-n // tile) for n in shape)
        group.create_array("done", shape=tiles, chunks=(1, 1), dtype="u1", fill_value=0, compressors=None)
        group.attrs.update({**terms, "complete": False})
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _array(zarr: Any, group: Any, name: str, dtype: str, shape: Any, chunks: Any) -> Any:
    """Numbers without compression, which such entries resist, and with a checksum, so that a damaged chunk is an
    error; a lost one reads as NaN."""
    checksum = zarr.codecs.Crc32cCodec()
    return group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, fill_value=np.nan, compressors=checksum)


def _same(path: Path, terms: dict[str, Any]) -> None:
    """ValueError unless the store is of the kernel that is asked for."""
    attributes = dict(opened(path, finished=False).attrs)
    others = [name for name, value in terms.items() if attributes.get(name) != value]
    if others:
        said = " and ".join(SAID.get(name, f"another {name}") for name in others)
        raise ValueError(f"{path} holds a kernel of {said}: choose another out=, or remove it first")


def _missing(store: Any) -> list[tuple[int, int]]:
    """Tiles without a mark, those above the diagonal of a symmetric kernel left out."""
    done = store["done"][:]
    wanted = np.ones(done.shape, dtype=bool)
    if store.attrs["x2"] is None:
        wanted = np.tril(wanted)
    return [(int(i), int(j)) for i, j in np.argwhere(wanted & (done == 0))]


def _fill(path: Path, net: Layer, missing: list[tuple[int, int]], client: Any) -> None:
    with progress(f"kernel, {len(missing)} tiles") as report:
        for count, _ in enumerate(_computed(path, net, missing, client), 1):
            report(count, len(missing))


def _computed(path: Path, net: Layer, missing: list[tuple[int, int]], client: Any) -> Iterator[None]:
    """Once for each tile that is finished, here or by the client's workers."""
    if client is None:
        for place in missing:
            fill_tile(place, path, net)
            yield
        return
    futures = client.map(fill_tile, missing, path=path, net=net, pure=False)
    try:
        for future in needed("distributed", "distributed").as_completed(futures):
            future.result()
            yield
    except BaseException:
        client.cancel(futures)
        raise


def fill_tile(place: tuple[int, int], path: Path, net: Layer) -> None:
    """Compute one tile, write it, and mark it then."""
    store = needed("zarr", "store").open_group(path, mode="r+")
    tile, get, symmetric = store.attrs["tile"], store.attrs["get"], store.attrs["x2"] is None
    rows, columns = (slice(n * tile, (n + 1) * tile) for n in place)
    a = store["x1"][rows]
    b = None if symmetric and rows == columns else store["x1" if symmetric else "x2"][columns]
    try:
        found = entries(net, a, b, get, dtype=store.attrs["dtype"])
    except (ValueError, ArithmeticError) as error:
        error.args = (f"{error} (rows of x1 counted from {rows.start}, of x2 from {columns.start})",)
        raise
    for name, part in zip([get] if isinstance(get, str) else get, found, strict=True):
        store[name][rows, columns] = part
        if symmetric and b is not None:
            store[name][columns, rows] = part.T
    store["done"][place] = 1


def cuts(length: int, step: int) -> Iterator[slice]:
    """Consecutive slices of at most `step`."""
    return (slice(i, min(i + step, length)) for i in range(0, length, step))
