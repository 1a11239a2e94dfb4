"""Kernels on disk: what is refused, with the next step, and what is left alone."""

import subprocess
import sys

import numpy as np
import pytest

import meanfield as mf
import meanfield.stored as stored

zarr = pytest.importorskip("zarr")

NET = mf.Dense(1, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** 2
TILE = 32


def data(points=90, features=5, seed=1):
    return np.random.default_rng(seed).standard_normal((points, features))


ROUNDED = mf.Dense(1, 0.1) >> (mf.relu >> mf.Dense(2 * (1 + 1e-15), 0.1)) ** 2
NAMESAKE = mf.Dense(1, 0.1) >> (type(mf.relu)("relu", mf.elu.formula) >> mf.Dense(2, 0.1)) ** 2
CHANGED = data()
CHANGED[89, 4] = np.nextafter(CHANGED[89, 4], 9)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"net": ROUNDED}, "another network"),
        ({"net": NAMESAKE}, "another network"),
        ({"x1": CHANGED}, "another x1"),
        ({"x1": data().astype(np.float32)}, "another x1"),
        ({"x2": data()}, "another x2"),
        ({"get": "ntk"}, "other kernels"),
        ({"tile": 8}, "another tile="),
        ({"get": "ntk", "tile": 8}, "other kernels and another tile="),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_a_store_of_anything_else_is_refused(tmp_path, other, said, complete):
    asked = {"net": NET, "x1": data(), "out": tmp_path / "k", "tile": TILE}
    mf.stored_kernel(**asked)
    zarr.open_group(tmp_path / "k", mode="r+").attrs["complete"] = complete
    with pytest.raises(ValueError, match=f"holds a kernel of {said}: choose another out="):
        mf.stored_kernel(**{**asked, **other})


def test_a_store_of_another_version_is_refused(tmp_path, monkeypatch):
    mf.stored_kernel(NET, data(), out=tmp_path / "k")
    monkeypatch.setattr(stored, "version", lambda _: "0.0.1")
    with pytest.raises(ValueError, match="another version"):
        mf.stored_kernel(NET, data(), out=tmp_path / "k")


@pytest.mark.parametrize("where", ["no folder/k", "file/k"])
def test_an_unwritable_path_is_refused_and_leaves_nothing(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"could not be written to out=.*no folder"):
        mf.kernel(NET, data(), out=tmp_path / where)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["file", "folder", "array"])
def test_what_is_no_kernel_is_left_alone(tmp_path, kind):
    out = tmp_path / "k"
    {"file": out.touch, "folder": out.mkdir, "array": lambda: zarr.create_array(out, shape=3, dtype="f8")}[kind]()
    before = sorted(tmp_path.rglob("*"))
    for call in (lambda: mf.kernel(NET, data(), out=out), lambda: mf.open_kernel(out)):
        with pytest.raises(ValueError, match="there is no kernel at"):
            call()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"tile": 0}, ValueError, "tile must be a whole number of rows"),
        ({"tile": True}, ValueError, "tile must be a whole number of rows"),
        ({"client": 3}, TypeError, "client must be a dask.distributed Client"),
        ({"get": "cntk"}, ValueError, "unknown kernel 'cntk'"),
        ({"net": mf.Dense() >> mf.relu >> mf.Dense()}, ValueError, "has no value"),
        ({"x1": [[1.0, np.nan]]}, ValueError, r"x1\[0, 1\] is nan"),
        ({"x2": np.ones((2, 3))}, ValueError, "same number of features"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, asked, error, said):
    if "client" in asked:
        pytest.importorskip("distributed")
    with pytest.raises(error, match=said):
        mf.stored_kernel(**{"net": NET, "x1": data(), "out": tmp_path / "k", **asked})
    assert not any(tmp_path.iterdir())


def test_a_client_without_a_path_is_refused():
    with pytest.raises(ValueError, match="client= needs out="):
        mf.kernel(NET, data(), client=object())


def test_an_entry_that_cannot_be_computed_is_named_by_its_place(tmp_path):
    x, net = data(60), mf.Dense(1, 0) >> mf.exp >> mf.Dense(1, 0)
    x[50] *= 40
    with pytest.raises(mf.NotConverged, match=r"not finite.*\(rows of x1 counted from 32, of x2 from 32\)"):
        mf.stored_kernel(net, x, out=tmp_path / "k", tile=TILE)
    with pytest.raises(ValueError, match="not finished"):
        mf.open_kernel(tmp_path / "k")


@pytest.mark.parametrize(("module", "extra"), [("zarr", "store"), ("distributed", "distributed")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"need {module}: pip install 'meanfield-calculator\[{extra}\]'"):
        mf.kernel(NET, data(), out=tmp_path / "k", client=object() if module == "distributed" else None)


def test_neither_package_is_imported_before_it_is_used(tmp_path):
    code = (
        "import sys, meanfield.stored, meanfield.stored_solve; print({'zarr', 'dask', 'distributed'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
