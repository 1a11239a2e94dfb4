"""The empirical NTK of ReLU networks by neural-tangents, for `bench_empirical.py`; run by an interpreter that has it.

Usage: python scripts/empirical_in_jax.py WIDTH DEPTH POINTS FEATURES RUNS; prints one line of JSON: the median seconds
of drawing the weights, and of the tangent kernel for each implementation, compiled, or why there is none. float64, one
output neuron.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.interpreters.ad
import neural_tangents as nt
from jax._src import source_info_util
from neural_tangents import stax

# Release 0.6.5 looks for these two where JAX no longer shows them; without them STRUCTURED_DERIVATIVES, the fastest
# implementation, raises AttributeError.
for name, value in {"source_info_util": source_info_util, "config": jax.config}.items():
    if not hasattr(jax.interpreters.ad, name):
        setattr(jax.interpreters.ad, name, value)

jax.config.update("jax_enable_x64", True)
warnings.simplefilter("ignore")


def seconds(call: Callable[[], Any], runs: int) -> float:
    jax.block_until_ready(call())
    walls = []
    for _ in range(runs):
        began = time.perf_counter()
        jax.block_until_ready(call())
        walls.append(time.perf_counter() - began)
    return median(walls)


def main(width: int, depth: int, points: int, features: int, runs: int) -> None:
    def dense(out: int) -> Any:
        return stax.Dense(out, W_std=2**0.5, b_std=0.1**0.5)

    init, apply, _ = stax.serial(*[part for _ in range(depth) for part in (dense(width), stax.Relu())], dense(1))
    draw = jax.jit(lambda key: init(key, (points, features))[1])
    x, params = jax.random.normal(jax.random.key(1), (points, features)), draw(jax.random.key(0))
    found: dict[str, Any] = {"version": f"{nt.__version__}, JAX {jax.__version__}"}
    found["drawing"] = seconds(lambda: draw(jax.random.key(2)), runs)
    for implementation in list(nt.NtkImplementation)[1:]:
        for axes in (None, 0):
            name = f"{implementation.name}, vmap_axes={axes}"
            kernel = jax.jit(nt.empirical_ntk_fn(apply, vmap_axes=axes, implementation=implementation))
            try:
                found[name] = seconds(lambda kernel=kernel: kernel(x, None, params), runs)
            except Exception as error:  # whatever a release and a JAX that do not fit raise is what is to be reported
                found[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
