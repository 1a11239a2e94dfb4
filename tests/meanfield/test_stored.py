"""Kernels on disk: the entries of mf.kernel, whatever happened on the way; bounded memory."""

import itertools
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import meanfield as mf
import meanfield.stored as stored

zarr = pytest.importorskip("zarr")

NET = mf.Dense(1, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** 2
TILE, TILES = 16, 21  # on and below the diagonal of 90 points
BOTH = ("nngp", "ntk")
PRELUDE = """
import os, pathlib, resource, signal, sys
import numpy as np, zarr
import meanfield as mf, meanfield.stored as stored
from itertools import count
from tests_of_stored import NET, data
"""


def data(points=90, features=5, seed=1):
    return np.random.default_rng(seed).standard_normal((points, features))


def run(tmp_path, code):
    """A process of its own, with this file at hand."""
    shutil.copy(__file__, tmp_path / "tests_of_stored.py")
    source = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PRELUDE}{textwrap.dedent(code)}"
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


def marks(path):
    """Marked tiles and when each was marked."""
    return {tuple(map(int, m.parts[-2:])): m.stat().st_mtime_ns for m in (path / "done" / "c").glob("*/*")}


@pytest.fixture
def computed(monkeypatch):
    """How many tiles have been computed, the first row that every call tries left out."""
    calls, entries = [], stored.entries

    def counted(net, a, b, get, **options):
        if len(a) > 1:
            calls.append(a.shape)
        return entries(net, a, b, get, **options)

    monkeypatch.setattr(stored, "entries", counted)
    return calls


# -- entries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("get", ["nngp", "ntk", ("ntk", "nngp")], ids=str)
@pytest.mark.parametrize("columns", [None, 50, 7])
def test_the_entries_are_those_of_the_kernel_in_memory(tmp_path, get, columns):
    x1, x2 = data(), None if columns is None else data(columns, seed=2)
    found = mf.stored_kernel(NET, x1, x2, get=get, out=tmp_path / "k", tile=TILE)
    expected = mf.kernel(NET, x1, x2, get=get)
    pairs = [(found, expected)] if isinstance(get, str) else zip(found, expected, strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one[:], other, rtol=1e-13)
        assert columns or (one[:] == one[:].T).all()


def test_the_verb_writes_a_store_that_zarr_alone_can_read(tmp_path):
    out = tmp_path / "k.zarr"
    found = mf.kernel(NET, data(), out=out)
    assert (zarr.open_array(out / "nngp", mode="r")[:] == mf.kernel(NET, data())).all()  # one tile: the same call
    assert (found[:] == mf.open_kernel(out)[:]).all() and found.read_only


def test_the_diagonal_under_dropout_is_that_of_one_input_with_itself(tmp_path):
    net = mf.Dense(1, 0) >> mf.relu >> mf.Dropout(0.8) >> mf.Dense(2, 0)
    found = mf.stored_kernel(net, data(), out=tmp_path / "k", tile=TILE)
    np.testing.assert_allclose(found[:], mf.kernel(net, data()), rtol=1e-13)


def test_a_symmetric_kernel_computes_its_lower_triangle_alone(tmp_path, computed):
    mf.stored_kernel(NET, data(), out=tmp_path / "k", tile=TILE)
    assert len(computed) == TILES and len(marks(tmp_path / "k")) == TILES


@pytest.mark.slow
def test_tiles_of_an_interpolated_kernel_agree_within_the_error_of_interpolation(tmp_path):
    x, net = data(120), mf.Dense(1, 0.1) >> mf.tanh >> mf.Dense(1.5, 0.05)
    x *= np.sqrt(5 / (x**2).sum(axis=1, keepdims=True))
    whole = mf.kernel(net, x)
    found = mf.stored_kernel(net, x, out=tmp_path / "k", tile=60)[:]
    assert 0 < abs(found - whole).max() <= 2e-8 * abs(whole).max()


def test_equal_inputs_in_another_layout_are_the_same(tmp_path, computed):
    for x in (data(), np.asfortranarray(data()), data().tolist()):
        mf.stored_kernel(NET, x, out=tmp_path / "k", tile=TILE)
    assert len(computed) == TILES


# -- interruptions ----------------------------------------------------------------------------------------------------

KILLED = {
    "while a tile is computed": """
        calls, entries = count(), stored.entries
        def dies(*arguments, **options):
            next(calls) < 11 or os.kill(os.getpid(), signal.SIGKILL)
            return entries(*arguments, **options)
        stored.entries = dies
        """,
    "between a tile and its mark": """
        calls, write = count(), zarr.Array.__setitem__
        def dies(array, place, value):
            array.basename != "done" or next(calls) < 10 or os.kill(os.getpid(), signal.SIGKILL)
            write(array, place, value)
        zarr.Array.__setitem__ = dies
        """,
}


@pytest.mark.parametrize("when", KILLED)
def test_a_killed_run_goes_on_where_it_was_to_the_same_bits(tmp_path, when, computed):
    out = tmp_path / "k"
    call = f"\nmf.stored_kernel(NET, data(), get=('nngp', 'ntk'), out={str(out)!r}, tile={TILE})"
    died = run(tmp_path, textwrap.dedent(KILLED[when]) + call)
    assert died.returncode == -9, died.stderr
    before = marks(out)
    assert len(before) == 10
    with pytest.raises(ValueError, match=r"not finished \(11 tiles are missing\): call"):
        mf.open_kernel(out)
    found = mf.stored_kernel(NET, data(), get=BOTH, out=out, tile=TILE)
    assert len(computed) == TILES - 10
    assert {place: marks(out)[place] for place in before} == before
    whole = mf.stored_kernel(NET, data(), get=BOTH, out=tmp_path / "whole", tile=TILE)
    assert all((one[:] == other[:]).all() for one, other in zip(found, whole, strict=True))


def test_a_finished_kernel_is_not_computed_again(tmp_path, computed):
    for _ in range(2):
        mf.stored_kernel(NET, data(), out=tmp_path / "k", tile=TILE)
    assert len(computed) == TILES


def test_a_tile_without_its_mark_is_not_believed(tmp_path, computed):
    path = tmp_path / "k"
    expected = mf.stored_kernel(NET, data(), out=path, tile=TILE)[:]
    store = zarr.open_group(path, mode="r+")
    store["nngp"][40, 20] = 7.0
    store.attrs["complete"] = False
    (path / "done" / "c" / "2" / "1").unlink()
    assert (mf.stored_kernel(NET, data(), out=path, tile=TILE)[:] == expected).all()
    assert len(computed) == TILES + 1


def test_a_damaged_chunk_is_an_error_and_a_lost_one_is_not_a_number(tmp_path):
    found = mf.stored_kernel(NET, data(), out=tmp_path / "k", tile=TILE)
    chunk = tmp_path / "k" / "nngp" / "c" / "0" / "0"
    whole = bytearray(chunk.read_bytes())
    whole[100] ^= 1
    chunk.write_bytes(whole)
    with pytest.raises(ValueError, match="checksum"):
        found[:TILE, :TILE]
    chunk.unlink()
    assert np.isnan(found[:TILE, :TILE]).all()


def test_a_full_disk_leaves_no_kernel_that_looks_finished(tmp_path):
    out = tmp_path / "k"
    code = f"""
        mf.kernel(NET, data(2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        mf.stored_kernel(NET, data(), out={str(out)!r}, tile={TILE})
        """
    done = run(tmp_path, code)
    assert done.returncode == 1 and "make that possible and call again" in done.stderr, done.stderr
    with pytest.raises(ValueError, match="not finished"):
        mf.open_kernel(out)
    found = mf.stored_kernel(NET, data(), out=out, tile=TILE)
    assert (found[:] == mf.stored_kernel(NET, data(), out=tmp_path / "whole", tile=TILE)[:]).all()


# -- memory ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux's /proc")
def test_memory_holds_a_few_tiles(tmp_path):
    """Peaks in MB of 3000 points: on disk far less than the 72 MB of the kernel, in memory more."""
    code = f"""
        # Not ru_maxrss, which a process inherits from the one that started it.
        status = pathlib.Path("/proc/self/status").read_text
        peak = lambda: int(status().split("VmHWM:")[1].split()[0]) / 1024
        x = data(3000)
        mf.stored_kernel(NET, x[:600], out={str(tmp_path / "small")!r}, tile=300)
        start = peak()
        mf.stored_kernel(NET, x, out={str(tmp_path / "k")!r}, tile=300)
        disk = peak()
        mf.kernel(NET, x)
        print(disk - start, peak() - start)
        """
    done = run(tmp_path, code)
    disk, memory = map(float, done.stdout.split())
    assert disk < 30 and memory > 60, (disk, memory)


def test_single_precision_on_disk_is_that_in_memory(tmp_path):
    found = mf.kernel(NET, data(), dtype="float32", out=tmp_path / "k")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:], mf.kernel(NET, data()).astype(np.float32))
    with pytest.raises(ValueError, match="another dtype="):
        mf.kernel(NET, data(), out=tmp_path / "k")


def test_slices_cover_every_length():
    for length, step in itertools.product(range(1, 9), range(1, 5)):
        covered = [i for part in stored.cuts(length, step) for i in range(part.start, part.stop)]
        assert covered == list(range(length))
