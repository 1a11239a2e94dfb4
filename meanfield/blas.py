"""BLAS threads of its own inside each of ours would only fight for the same cores; and how BLAS cuts a product among
threads may change its last bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products with a single thread each."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    """Finding the libraries of this process takes a millisecond, longer than a small kernel."""
    return ThreadpoolController()
