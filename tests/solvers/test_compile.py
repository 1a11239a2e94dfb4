"""Generated modules: what they compute, how they are named and kept, and whom they trust."""

import hashlib
import math
import os
import re
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from solvers import compile as compiler
from solvers.compile import UntrustedCache, cache_folder, load

STEP = """
"A title with a Greek letter: \N{GREEK SMALL LETTER XI}."
def {name}(p, q, k, t, a, b):
    v = b + a * p * q * k
    return (v, v + a * t)
"""
RELU = "def step(p, q, k, t, a):\n    v = a * ramp(p, q, k)\n    return (v, v + a * t * orthant(p, q, k))"
OPEN = """
def f0(x):
    return tanh(x)
f0_marks = array([0.0])
def f1(x):
    return absolute(x)
f1_marks = array([0.0])
def length(q, a):
    return (a * checked_mean(f0, f0_marks, q), checked_mean(f1, f1_marks, q))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and none of the modules of this test left behind."""
    monkeypatch.setenv(compiler.CACHE_VARIABLE, str(tmp_path / "cache"))
    before = set(sys.modules)
    _forget()
    yield tmp_path / "cache"
    _forget()
    for name in set(sys.modules) - before:
        if name.startswith("_generated_"):
            del sys.modules[name]


def _forget() -> None:
    for kept in (compiler.cache_folder, compiler._fingerprint, compiler._module_text):
        kept.cache_clear()


def text(name: str) -> str:
    return STEP.replace("{name}", name)


# -- what is computed ---------------------------------------------------------------------------------------------


def plain(p: float, q: float, k: float, t: float, a: float, b: float) -> tuple[float, float]:
    v = b + a * p * q * k
    return v, v + a * t


def walked(
    p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], state: npt.NDArray[np.float64], a: float, b: float
) -> npt.NDArray[np.float64]:
    out = state.copy()
    for i, j in np.ndindex(*state.shape[1:]):
        for layer in range(len(p)):
            out[:, i, j] = plain(p[layer, i], q[layer, j], out[0, i, j], out[1, i, j], a, b)
    return out


def test_rows_are_the_function_of_every_row(folder: Path) -> None:
    module = load(text("rows_step"))
    rows = np.random.default_rng(1).normal(size=(37, 6))
    out = np.empty((37, 2))
    module.rows_step_rows(rows, out)
    np.testing.assert_allclose(out, [plain(*row) for row in rows], rtol=1e-14, atol=1e-15)
    assert not hasattr(module, "rows_step_gram")


@pytest.mark.parametrize("strip", [4, 512])
def test_gram_walks_every_entry_through_every_layer(folder: Path, strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "STRIP", strip)
    module = load(text(f"strip_{strip}"), {f"strip_{strip}": 2})
    step_gram = getattr(module, f"strip_{strip}_gram")
    rng = np.random.default_rng(2)
    p, q, state = rng.normal(size=(3, 9)), rng.normal(size=(3, 11)), rng.normal(size=(2, 9, 11))
    expected = walked(p, q, state, 0.7, 0.2)
    whole, part, lower = state.copy(), state.copy(), state[:, :, :9].copy()
    step_gram(p, q, whole, np.array([0.7, 0.2]), 0, 9, False)
    np.testing.assert_allclose(whole, expected, rtol=1e-13, atol=1e-14)
    step_gram(p, q, part, np.array([0.7, 0.2]), 2, 5, False)
    assert np.array_equal(part[:, 2:5], whole[:, 2:5])
    assert np.array_equal(part[:, [0, 1, 5, 8]], state[:, [0, 1, 5, 8]])
    step_gram(p, p, lower, np.array([0.7, 0.2]), 0, 9, True)
    below = np.tril(np.ones((9, 9), dtype=bool), -1)
    np.testing.assert_allclose(
        lower[:, below], walked(p, p, state[:, :, :9], 0.7, 0.2)[:, below], rtol=1e-13, atol=1e-15
    )
    assert np.array_equal(lower[:, ~below], state[:, :, :9][:, ~below])


def test_the_loop_over_pairs_is_a_loop_of_vectors(folder: Path) -> None:
    module = load(RELU, {"step": 2})
    module.step_gram(np.ones((1, 2)), np.ones((1, 2)), np.ones((2, 2, 2)), np.ones(1), 0, 2, False)
    (llvm,) = module.step_gram.inspect_llvm().values()
    # Not inlined, the step stays scalar: 31 instead of 4 ns per entry and layer.
    assert re.search(r"@llvm\.sqrt\.v\d+f64", llvm)


def test_nan_goes_through_rows_and_pairs(folder: Path) -> None:
    module = load(RELU, {"step": 2})
    for at in range(5):
        row, out = np.array([[1.0, 2.0, 0.5, 0.3, 1.7]]), np.empty((1, 2))
        row[0, at] = math.nan
        module.step_rows(row, out)
        p, q, k, t, a = row[0]
        state = np.array([[[k] * 19], [[t] * 19]])
        module.step_gram(np.array([[p]]), np.full((1, 19), q), state, np.array([a]), 0, 1, False)
        assert np.isnan(out).tolist() == [[at != 3, True]]
        assert np.array_equal(state[:, 0], np.repeat(out.T, 19, axis=1), equal_nan=True)


def test_open_means_are_integrated_and_cached_without_a_warning(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = load(OPEN)
        out = np.empty((2, 2))
        module.length_rows(np.array([[1.0, 3.0], [math.nan, 3.0]]), out)
    assert out[0] == pytest.approx([0.0, math.sqrt(2 / math.pi)], abs=1e-14)
    assert np.isnan(out[1]).all()
    assert list((folder / "__pycache__").glob("*length_rows*.nbc"))


@pytest.mark.parametrize("gram", [{"other": 2}, {"step": 1}])
def test_a_loop_that_does_not_fit_the_text_is_refused(folder: Path, gram: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="loop over pairs wants a function"):
        load(RELU, gram)


# -- names --------------------------------------------------------------------------------------------------------


def test_a_module_is_named_by_the_hash_of_its_text(folder: Path) -> None:
    module = load(text("named"))
    path = Path(module.__file__ or "")
    assert path.parent == folder
    assert path.stem == f"_generated_{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"


def test_the_same_text_is_the_same_module(folder: Path) -> None:
    assert load(text("same")) is load(text("same"))
    assert load(text("same")) is not load(text("same"), {"same": 2})


@pytest.mark.parametrize(
    "what", ["vecmath", "gaussmath", "panels", "quadrature", "smoothed", "jit", "compile", "numba", "llvmlite"]
)
def test_what_is_linked_in_is_part_of_the_name(folder: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiler._fingerprint()
    if what in ("numba", "llvmlite"):
        monkeypatch.setattr(f"{what}.__version__", "0.0")
    else:
        real = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda path: real(path) + b"#" * (path.stem == what))
    compiler._fingerprint.cache_clear()
    assert compiler._fingerprint() != before
    assert compiler._fingerprint() in compiler._module_text(text("linked"), ())


# -- the disk -----------------------------------------------------------------------------------------------------

SECOND = """
import sys, numpy as np
from solvers.compile import load
module = load(sys.argv[1], {"step": 2} if "orthant" in sys.argv[1] else None)
if hasattr(module, "step_gram"):
    module.step_gram(np.ones((1, 2)), np.ones((1, 2)), np.ones((2, 2, 2)), np.ones(1), 0, 2, False)
    print(sum(module.step_gram.stats.cache_hits.values()), sum(module.step_gram.stats.cache_misses.values()))
else:
    module.length_rows(np.ones((1, 2)), np.ones((1, 2)))
    print(sum(module.length_rows.stats.cache_hits.values()), sum(module.length_rows.stats.cache_misses.values()))
"""


@pytest.mark.parametrize("source", [RELU, OPEN])
def test_a_second_process_compiles_nothing(folder: Path, source: str) -> None:
    def run() -> str:
        command = [sys.executable, "-W", "error", "-c", SECOND, source]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    assert run().split() == ["0", "1"]
    assert run().split() == ["1", "0"]


def test_the_folder_is_made_private(folder: Path) -> None:
    umask = os.umask(0)
    try:
        assert cache_folder() == folder
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(UntrustedCache, match="writable by others: make it private"):
        load(text("open_door"))
    assert not list(folder.iterdir())


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "real")
    with pytest.raises(UntrustedCache, match="is a link"):
        load(text("linked_folder"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_the_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    with pytest.raises(UntrustedCache, match="another user's"):
        load(text("foreign"))


@pytest.mark.parametrize("change", [b"\n", b"\r\n# caf\xe9"])
def test_a_tampered_file_is_refused_and_never_run(folder: Path, change: bytes) -> None:
    module = load(text("tampered"))
    path = Path(module.__file__ or "")
    path.write_bytes(path.read_bytes() + change + b"\nraise SystemExit")
    del sys.modules[module.__name__]
    with pytest.raises(UntrustedCache, match=f"does not hold the text its name stands for: delete the folder {folder}"):
        load(text("tampered"))


def test_an_interrupted_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", interrupted)
        load(text("interrupted"))
    assert not list(folder.iterdir())
    assert load(text("interrupted")).interrupted_rows


def test_text_that_fails_leaves_no_module_behind(folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(NameError, match="nowhere"):
            load("marks = nowhere")
    with pytest.raises(SyntaxError):
        load("def (")


def test_threads_that_load_the_same_text_get_a_whole_module(folder: Path) -> None:
    meeting, found = threading.Barrier(6), []

    def task() -> None:
        meeting.wait()
        found.append(load(text("hurried")).hurried_rows)

    threads = [threading.Thread(target=task) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(map(id, found))) == 1


# -- nowhere to write ---------------------------------------------------------------------------------------------


def test_a_folder_that_was_asked_for_must_be_writable(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(compiler.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(PermissionError, match="cannot be written: set MEANFIELD_CACHE to one that can"):
        load(text("asked"))


def test_without_a_writable_home_a_private_folder_serves_one_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {k: v for k, v in os.environ.items() if k != compiler.CACHE_VARIABLE}
    environment |= dict.fromkeys(("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"), str(tmp_path / "file"))
    script = f"from solvers.compile import load, cache_folder; load({text('homeless')!r}); print(cache_folder())"
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment)
    made = Path(done.stdout.strip())
    assert made.name.startswith("meanfield-") and not made.exists() and not done.stderr
