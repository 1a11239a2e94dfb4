"""NNGP and NTK in neural-tangents, for `bench_kernels.py`; run by an interpreter that has it.

Usage: python scripts/kernels_in_nt.py ACTIVATION DEPTH WEIGHT_VAR BIAS_VAR DTYPE, then lines as in `metered.py`. The
depth is a rolled loop, its fastest spelling here: unrolled, compiling takes a minute and memory grows with depth.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import neural_tangents as nt
from metered import serve
from neural_tangents import stax

GET = ("nngp", "ntk")
TOGETHER = 200  # rows in one batch of quadrature, which whole would hold 625 matrices
ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": stax.Relu,
    "erf": stax.Erf,
    "gelu": stax.Gelu,
    "sin": stax.Sin,
    "exp": stax.Exp,
    "rbf": lambda: stax.Rbf(0.5),
    "tanh": lambda: stax.ElementwiseNumerical(jnp.tanh, deg=25),
}


def compiled(name: str, depth: int, weight_var: float, bias_var: float) -> Callable[[Any], tuple[Any, Any]]:
    def dense() -> Any:
        return stax.Dense(1, W_std=weight_var**0.5, b_std=bias_var**0.5)

    kernel = stax.serial(dense(), stax.repeat(stax.serial(ACTIVATIONS[name](), dense()), depth))[2]
    if name == "tanh":
        return lambda x: nt.batch(kernel, min(TOGETHER, len(x)), device_count=0)(x, None, GET)
    return jax.jit(lambda x: tuple(kernel(x, None, GET)))


def main(name: str, depth: str, weight_var: str, bias_var: str, dtype: str) -> None:
    warnings.simplefilter("ignore")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", dtype == "float64")
    found = compiled(name, int(depth), float(weight_var), float(bias_var))
    serve(jnp.asarray, lambda x: jax.block_until_ready(tuple(found(x))))


if __name__ == "__main__":
    main(*sys.argv[1:])
