"""Kernels in a process of their own: what a call costs, and some of its entries. Needs NumPy alone, so that it
serves an interpreter with this library and one with a peer.

A worker is a script that answers lines on stdin, each the path of a file with points x and places `rows`, `columns`, by
lines of JSON on stdout. `extra` is the high-water mark of resident memory above what was resident before the call,
without the results themselves; Linux forgets the mark on request.
"""

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np


def resident(line: str) -> int:
    """Bytes; VmRSS is now, VmHWM the most so far."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(entry.split()[1]) for entry in status if entry.startswith(line))


def forget() -> None:
    """Give back what earlier calls left in the allocator, and lower the high-water mark to what is resident."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def serve(prepare: Callable[[Any], Any], kernels: Callable[[Any], tuple[Any, Any]]) -> None:
    """Answer until stdin ends. What `prepare` does to the points is not measured."""
    for line in sys.stdin:
        with np.load(line.strip()) as given:
            x, rows, columns = prepare(given["x"]), given["rows"], given["columns"]
        forget()
        before, wall, cpu = resident("VmRSS"), time.perf_counter(), time.process_time()
        found = kernels(x)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        size = sum(k.nbytes for k in found)
        nngp, ntk = (np.asarray(k)[rows, columns].tolist() for k in found)
        extra = max(resident("VmHWM") - before - size, 0)
        print(json.dumps({"wall": wall, "cpu": cpu, "extra": extra, "nngp": nngp, "ntk": ntk}), flush=True)
        del found, x


@contextmanager
def worker(*command: Any) -> Iterator[Callable[[Path], dict[str, Any]]]:
    """A worker to ask, ended with the `with` block; if it dies, what it said last is the message."""
    words, pipe = [str(word) for word in command], subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=errors, bufsize=0) as process,
    ):

        def ask(path: Path) -> dict[str, Any]:
            with suppress(BrokenPipeError):
                process.stdin.write(f"{path}\n".encode())
            answer = process.stdout.readline()
            if not answer:
                errors.seek(0)
                sys.exit(f"{' '.join(words)} ended without an answer:\n{errors.read()[-3000:]}")
            return json.loads(answer)

        yield ask
