"""Source text -> compiled functions, kept on disk so that a second process starts warm.

The text becomes a real module file named by the SHA-256 of what it says and of everything it links in (numba's own
cache notices neither text made by exec nor changes in imported files). Around each function `f` that returns a tuple,
loops are written: f_rows over the rows of an array, and on request f_gram over the pairs of a kernel matrix, layers
outside, entries inside, in strips that stay in the first-level cache, and for a state of one number f_lattice over the
lags of a lattice, between two small matrices. A cache is as trusted as code: its folder must be ours alone, and a file
that is not what its name says is refused.
"""

import ast
import atexit
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import RLock
from types import ModuleType

import llvmlite
import numba
import platformdirs

import solvers
from solvers import gaussmath, panels, quadrature, smoothed, vecmath

STRIP = 512
CACHE_VARIABLE = "MEANFIELD_CACHE"
_LOADING = RLock()

_HEADER = """\
from numpy import array, dot
from solvers.jit import cached, inlined, jit, wide
from solvers.quadrature import bounded_pair_mean, checked_mean, checked_pair_mean, mean as bounded_mean
from solvers.smoothed import bounded_smoothed_mean, checked_smoothed_mean
"""

_ROWS = """\
@cached
def {name}_rows(inputs, out):
    for i in range(inputs.shape[0]):
        r = {name}({arguments})
        {results}
"""

_GRAM = """\
@cached
def {name}_gram(p, q, state, params, first, last, triangle):
    wide()
    layers = p.shape[0]
    for i in range(first, last):
        stop = i if triangle else state.shape[2]
        for start in range(0, stop, {strip}):
            end = min(stop, start + {strip})
            {views}
            for layer in range(layers):
                left = p[layer, i]
                right = q[layer, start:end]
                for j in range(end - start):
                    r = {name}({arguments})
                    {results}
"""

_LATTICE = """\
@cached
def {name}_lattice(orbit, inward, outward, local, skip, bias, params):
    wide()
    met = orbit[0].copy()
    for layer in range(orbit.shape[0] - 1):
        state = orbit[layer]
        variance = state[0]
        for j in range(state.size):
            r = {name}({arguments})
            met[j] = r[0]
        filtered = dot(dot(inward, met), outward)
        for j in range(state.size):
            orbit[layer + 1, j] = filtered[j] + local * met[j] + skip * state[j] + bias
"""


class UntrustedCache(RuntimeError):
    """The cache folder or a file in it could have been written by someone else."""


def load(text: str, gram: Mapping[str, int] | None = None) -> ModuleType:
    """Compile emitted source, or find it compiled.

    `gram` names the functions that also get a loop over pairs, with the number of state components they update:
    f(p, q, *state, *params) -> new state. Raises SyntaxError for text that is not Python, ValueError for a `gram` that
    does not fit it, UntrustedCache for a cache that is not ours alone.
    """
    name, full = _named(text, gram)
    with _LOADING:  # another thread must not be given a module whose text is still being executed
        return sys.modules[name] if name in sys.modules else _execute(name, full)


def is_known(text: str, gram: Mapping[str, int] | None = None) -> bool:
    """Has this text been loaded before, here or by an earlier process?"""
    name, _ = _named(text, gram)
    return name in sys.modules or (cache_folder() / f"{name}.py").exists()


def _named(text: str, gram: Mapping[str, int] | None) -> tuple[str, bytes]:
    full = _module_text(text, tuple((gram or {}).items())).encode()
    return f"_generated_{hashlib.sha256(full).hexdigest()[:32]}", full


def _execute(name: str, full: bytes) -> ModuleType:
    path = cache_folder() / f"{name}.py"
    if not path.exists():
        _write(path, full)
    if path.read_bytes() != full:
        raise UntrustedCache(f"{path} does not hold the text its name stands for: delete the folder {path.parent}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        # A half-made module must not be found by the next caller.
        del sys.modules[name]
        raise
    return module


@cache
def cache_folder() -> Path:
    """The folder of generated modules; created private, refused if it is not.

    MEANFIELD_CACHE, or else the user's cache folder. One that was asked for must be writable; where the user has none
    that is (a container, a read-only home), a temporary folder serves this process, which then starts cold.
    """
    given = os.environ.get(CACHE_VARIABLE)
    folder = Path(given) if given else Path(platformdirs.user_cache_dir("meanfield")) / "generated"
    if not _can_write(folder):
        if given:
            raise PermissionError(
                f"the cache folder {folder} cannot be written: set {CACHE_VARIABLE} to one that can, or unset it"
            )
        folder = Path(tempfile.mkdtemp(prefix="meanfield-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    state = folder.lstat()
    foreign = hasattr(os, "getuid") and state.st_uid != os.getuid()
    if folder.is_symlink() or foreign or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UntrustedCache(
            f"the cache folder {folder} is a link, another user's or writable by others: "
            f"make it private (chmod 700) or set {CACHE_VARIABLE} to a folder that is"
        )
    return folder


def _can_write(folder: Path) -> bool:
    """Make the folder, private, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@cache
def _fingerprint() -> str:
    """What generated code depends on besides its own text."""
    sources = sorted(Path(solvers.__file__).parent.glob("*.py"))
    linked = hashlib.sha256(b"".join(p.read_bytes() for p in sources if p.name in _LINKED)).hexdigest()
    return f"{linked} numba {numba.__version__} llvmlite {llvmlite.__version__} python {sys.version_info[:2]}"


_LINKED = {Path(m.__file__ or "").name for m in (vecmath, gaussmath, panels, quadrature, smoothed)} | {
    "jit.py",
    "_vecmath_coefficients.py",
    "compile.py",
}


@cache
def _module_text(text: str, gram: tuple[tuple[str, int], ...]) -> str:
    tree = ast.parse(text)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name, states in gram:
        if name not in functions or _results(functions[name]) != states:
            raise ValueError(f"a loop over pairs wants a function '{name}' that returns a tuple of {states}")
    names, imported = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}, ""
    for home in (vecmath, gaussmath):
        words = sorted(names & {name for name, value in vars(home).items() if _is_word(value)})
        imported += f"from {home.__name__} import {', '.join(words)}\n" if words else ""
        names -= {*words}
    parts = [f"# Generated; links {_fingerprint()}", _HEADER + imported]
    for node in tree.body:
        source = ast.unparse(node)
        width = _results(node) if isinstance(node, ast.FunctionDef) else 0
        mark = ("@inlined\n" if width else "@jit\n") if isinstance(node, ast.FunctionDef) else ""
        parts.append(f"{mark}{source}\n")
    loops = [_rows(node, width) for node in functions.values() if (width := _results(node))]
    loops += [_gram(functions[name], states) for name, states in gram]
    loops += [_lattice(functions[name]) for name, states in gram if states == 1]
    return "\n\n".join((*parts, *loops))


def _is_word(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _results(function: ast.FunctionDef) -> int:
    """How many results the function returns as a tuple, 0 if it returns a single number."""
    last = function.body[-1]
    return len(last.value.elts) if isinstance(last, ast.Return) and isinstance(last.value, ast.Tuple) else 0


def _rows(function: ast.FunctionDef, width: int) -> str:
    arguments = ", ".join(f"inputs[i, {a}]" for a in range(len(function.args.args)))
    results = "; ".join(f"out[i, {r}] = r[{r}]" for r in range(width))
    return _ROWS.format(name=function.name, arguments=arguments, results=results)


def _gram(function: ast.FunctionDef, width: int) -> str:
    views = "; ".join(f"s{n} = state[{n}, i, start:end]" for n in range(width))
    params = [f"params[{a}]" for a in range(len(function.args.args) - 2 - width)]
    arguments = ", ".join(["left", "right[j]", *(f"s{n}[j]" for n in range(width)), *params])
    results = "; ".join(f"s{n}[j] = r[{n}]" for n in range(width))
    return _GRAM.format(name=function.name, views=views, arguments=arguments, results=results, strip=STRIP)


def _lattice(function: ast.FunctionDef) -> str:
    params = [f"params[{a}]" for a in range(len(function.args.args) - 3)]
    return _LATTICE.format(name=function.name, arguments=", ".join(["variance", "variance", "state[j]", *params]))


def _write(path: Path, text: bytes) -> None:
    """Whole or not at all: an interrupted write leaves no file under the final name."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
