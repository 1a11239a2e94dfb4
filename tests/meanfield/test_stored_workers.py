"""Kernels on disk computed by the workers of a dask.distributed Client: the same bits, whatever happens to one."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import meanfield as mf

pytest.importorskip("zarr")
distributed = pytest.importorskip("distributed")

NET = mf.Dense(1, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** 2
TILE = 16
BOTH = ("nngp", "ntk")


def data(points, features=5, seed=1):
    return np.random.default_rng(seed).standard_normal((points, features))


def marks(path):
    """Marked tiles."""
    return {m.parts[-2:] for m in (path / "done" / "c").glob("*/*")}


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(tmp_path, client):
    x, out, left = data(250), tmp_path / "k", []

    def kill():
        worker = next(iter(client.run(os.getpid).values()))
        while len(marks(out)) < 20:
            time.sleep(0.005)
        left.append(len(marks(out)))
        os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    whole = mf.stored_kernel(NET, x, get=BOTH, out=tmp_path / "whole", tile=TILE)
    result = mf.stored_kernel(NET, x, get=BOTH, out=out, tile=TILE, client=client)
    killer.join()
    assert left[0] < 16 * 17 / 2 == len(marks(out))
    assert all((one[:] == other[:]).all() for one, other in zip(result, whole, strict=True))


@pytest.mark.slow
def test_workers_say_what_went_wrong(tmp_path, client):
    x, net = data(30), mf.Dense(1, 0) >> mf.exp >> mf.Dense(1, 0)
    x[29] *= 40
    with pytest.raises(mf.NotConverged, match="is not finite"):
        mf.stored_kernel(net, x, out=tmp_path / "k", tile=TILE, client=client)
