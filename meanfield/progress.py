"""One line of progress for whatever turns out to take more than two seconds, on a terminal, and nothing else.

It stands on stderr and leaves no trace. Work whose end is known shows its share and the time left, other work the time
that has passed; whoever is called by somebody who shows progress already adds a row to the same display.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

PATIENCE = 2.0
Report = Callable[[int, int], None]
_SHOWN: ContextVar[Progress | None] = ContextVar("shown", default=None)


class Clock(ProgressColumn):
    """The share that is done and the time left, or the time that has passed where the end is not known."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text(f"{_minutes(task.elapsed)} so far")
        left = "" if task.time_remaining is None else f", {_minutes(task.time_remaining)} left"
        return Text(f"{task.percentage:.0f}%{left}")


def _minutes(seconds: float | None) -> str:
    minutes, rest = divmod(int(seconds or 0), 60)
    return f"{minutes}:{rest:02d}"


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """Yields report(done, total); the bar appears once two seconds have passed and leaves no trace."""
    with _display() as bar:
        task = bar.add_task(title, total=None)
        try:
            yield lambda done, total: bar.update(task, completed=done, total=total)
        finally:
            bar.remove_task(task)


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """The same without a known end. Nothing may be printed meanwhile, for it would stand where the display is."""
    with progress(title):
        yield


@contextmanager
def _display() -> Iterator[Progress]:
    """The display that is there, or a new one for as long as the block lasts."""
    there = _SHOWN.get()
    if there is not None:
        yield there
        return
    bar = _new()
    timer = Timer(PATIENCE, bar.start)
    timer.daemon = True
    token = _SHOWN.set(bar)
    try:
        if not bar.disable:
            timer.start()
        yield bar
    finally:
        _SHOWN.reset(token)
        timer.cancel()
        if timer.ident is not None:  # started: it may just be about to show the bar
            timer.join()
        bar.stop()


def _new() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), Clock())
    # FORCE_COLOR makes a file a terminal to rich; a file wants no animation all the same.
    real = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    console = Console(file=sys.stderr)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=not real)
