"""A tanh phase diagram written with jax.vmap, for `bench_phase.py`; run by an interpreter that has JAX.

Usage: python scripts/phase_in_jax.py IN.npz OUT.npz; IN has arrays w, b; OUT gets q, one_minus_c and the seconds that a
second, compiled run took. Newton's method for q* with 64 Gauss-Hermite nodes, bisection for c* with 48 x 48.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
TOGETHER = 1000  # points in one vmap: all at once would hold 48 x 48 numbers for each


def hermite(n: int) -> tuple[jax.Array, jax.Array]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return jnp.asarray(nodes), jnp.asarray(weights / np.sqrt(2 * np.pi))


Z, WEIGHT = hermite(64)
Y, PLANE = hermite(48)


def length(w: jax.Array, b: jax.Array) -> jax.Array:
    def update(q: jax.Array) -> jax.Array:
        return w * (jnp.tanh(jnp.sqrt(q) * Z) ** 2 @ WEIGHT) + b

    def newton(_: int, q: jax.Array) -> jax.Array:
        return jnp.maximum(q + (update(q) - q) / (1 - jax.grad(update)(q)), 1e-12)

    return jax.lax.fori_loop(0, 60, newton, jnp.float64(1))


def point(both: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    w, b = both
    q = length(w, b)
    root = jnp.sqrt(q)
    chi_1 = w * ((1 - jnp.tanh(root * Z) ** 2) ** 2 @ WEIGHT)
    one = jnp.tanh(root * Y)

    def c_map(c: jax.Array) -> jax.Array:
        other = jnp.tanh(root * (c * Y[:, None] + jnp.sqrt(1 - c * c) * Y))
        return (w * ((PLANE * one) @ other @ PLANE) + b) / q

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        middle = (ends[0] + ends[1]) / 2
        above = c_map(middle) > middle
        return jnp.where(above, middle, ends[0]), jnp.where(above, ends[1], middle)

    low, high = jax.lax.fori_loop(0, 45, halve, (jnp.float64(0), jnp.float64(1 - 1e-12)))
    return q, jnp.where(chi_1 > 1, 1 - (low + high) / 2, 0.0)


def main(source: str, target: str) -> None:
    given = np.load(source)
    solve = jax.jit(lambda both: jax.lax.map(point, both, batch_size=TOGETHER))
    jax.block_until_ready(solve((jnp.asarray(given["w"] * 1.001), jnp.asarray(given["b"]))))
    began = time.perf_counter()
    q, one_minus_c = jax.block_until_ready(solve((jnp.asarray(given["w"]), jnp.asarray(given["b"]))))
    np.savez(target, q=q, one_minus_c=one_minus_c, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
