"""Where in the user's code a trace stopped."""

import linecache
import traceback
from pathlib import Path
from typing import Any

import torch

OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<")


def place_of(error: BaseException) -> str | None:
    """File, line and text of the innermost frame that is neither PyTorch's nor this package's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(OWN)]
    if not frames:
        return None
    last = frames[-1]
    line = last.lineno or 0
    text = linecache.getline(last.filename, line).strip()
    return f"{last.filename}, line {line}, `{text}`" if text else f"{last.filename}, line {line}"


def untraceable(model: Any, place: str | None, *, tried: bool) -> ValueError:
    """The refusal; `tried` says that an example was there and did not help."""
    where = f"at {place}" if place else "in code that leaves no place"
    what = f"{type(model).__name__}.forward could not be followed {where}: what happens there depends on "
    if tried:
        return ValueError(
            what + "the entries of a tensor, so that there is no one graph. Choose between two results with "
            "torch.where, or give the parts before and behind that line by themselves"
        )
    return ValueError(
        what + "the shape or the entries of a tensor. Give an example input, with which shapes are known; if it is "
        "the entries, choose between two results with torch.where, or give the parts by themselves"
    )
