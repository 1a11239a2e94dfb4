"""Covariances over the lags of a periodic grid, walked through the layers of Fourier neural operators.

Sigma_r = Cov(g_b+r, g_b) of stationary pre-activations; behind phi C_r = E phi(u) phi(v), (u, v) of variance Sigma_0
and covariance Sigma_r; behind a Spectral layer Sigma'_r = (1/N) sum_k s_k e^(2 pi i k.r/N) Chat_k + bias_var; a filter
of size 1 adds pointwise_var C_r, a skip skip^2 Sigma_r. Of two inputs also Cov(g_b+r(x), g_b(x')), not even in r.
Derived here and checked by simulation; Koshizuka et al. 2024 (arXiv 2310.06379) not read for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce, singledispatch
from itertools import pairwise

import numpy as np

from meanfield.build import Array, Block, program
from meanfield.expectation import curve
from meanfield.finite.networks import number
from meanfield.modes import mode_shares
from meanfield.pixel_maps import apply
from solvers import gram
from solvers.lattice import Filter, half, rows, unfolded
from solvers.stationary import pair_means
from symbolic.fourier import Spectral
from symbolic.fourier_block import FourierForm, fourier_form, is_pointwise
from symbolic.functions import X
from symbolic.landmarks import slope
from symbolic.limits import readable
from symbolic.networks import Chain, Dense, Identity, Layer, Pointwise, Repeat, Scale, Sum
from symbolic.pictures import Conv, is_spatial
from symbolic.signals import GAUSSIAN, NoRule, kind_after

Shape = tuple[int, ...]
STRIP, MANY = 512, 2**18  # lags of a strip; lags from which threads pay


@dataclass(frozen=True)
class Lags:
    """Covariances over lags (*grid): of one input, or of two and between them; `kind` is that of the signal."""

    first: Array
    second: Array | None = None
    cross: Array | None = None
    kind: str = GAUSSIAN

    @property
    def shape(self) -> Shape:
        return self.first.shape

    @property
    def arrays(self) -> list[Array]:
        return [x for x in (self.first, self.second, self.cross) if x is not None]

    def replaced(self, arrays: Sequence[Array], kind: str) -> "Lags":
        first, second, cross = arrays if len(arrays) == 3 else (arrays[0], None, None)
        return Lags(first, second, cross, kind)

    def mapped(self, step: Callable[[Array], Array], kind: str) -> "Lags":
        return self.replaced([step(x) for x in self.arrays], kind)


def pair_map(block: Block, question: str, p: float, q: float, k: Array) -> Array:
    """The answer "nngp" or "pullback" for variances p and q and every covariance in k; k = p = q is the length."""
    if not block.closed(question) and isinstance(block.layer, Pointwise):
        body = block.layer.formula if question == "nngp" else slope(block.layer.formula)
        found = pair_means(curve(body), p, q, k)
        if found is not None:
            return found
    if question == "nngp" and block.closed("nngp"):
        return _closed(block, p, q, k)
    rows = np.column_stack([np.full(k.size, p), np.full(k.size, q), k.ravel()])
    if question == "nngp":
        state = k.reshape(1, 1, -1).copy()
        apply(block, "nngp", rows[:1, :1], rows[None, :, 1], state, triangle=False, direct=False)
        return state.reshape(k.shape)
    return _rows(block, question, rows).reshape(k.shape)


def through_length(block: Block, q: float, k: Array) -> Array:
    """dC/dq of C = E phi(u) phi(v) where both variances are q and the covariances k stay: E phi''(u) phi(v), as far as
    phi has it, or (E u phi'(u) phi(v) - k E phi'(u) phi'(v))/q."""
    if not block.closed("through_length") and isinstance(block.layer, Pointwise):
        f, turned = block.layer.formula, X * slope(block.layer.formula)
        found = [pair_means(curve(body), q, q, k) for body in (turned + f, turned - f)]
        if found[0] is not None and found[1] is not None:
            return ((found[0] - found[1]) / 4 - k * pair_map(block, "pullback", q, q, k)) / q
    return _rows(block, "through_length", np.column_stack([np.full(k.size, q), k.ravel()])).reshape(k.shape)


def _rows(block: Block, question: str, rows: Array) -> Array:
    return np.concatenate(gram.in_threads(lambda span: block(question, rows[slice(*span)]), len(rows), triangle=False))


def _closed(block: Block, p: float, q: float, k: Array) -> Array:
    """The formula at every covariance, a few lags at a time, on all cores where they are many."""
    columns = min(k.size, STRIP)
    state = np.zeros((1, -(-k.size // columns), columns))
    state.reshape(-1)[: k.size] = k.ravel()
    variances = np.full((1, state.shape[1]), p), np.full((1, columns), q)

    def task(span: tuple[int, int]) -> None:
        block.gram("nngp", *variances, state, span, triangle=False)

    if k.size <= MANY:
        task((0, state.shape[1]))
    else:
        gram.in_threads(task, state.shape[1], triangle=False)
    return np.asarray(state.reshape(-1)[: k.size].reshape(k.shape))


# -- one layer after the other -----------------------------------------------------------------------------------------


@singledispatch
def passed(layer: Layer, state: Lags) -> Lags:
    """The covariances behind a layer."""
    if is_spatial(layer):
        raise NoRule(f"covariances over lags have no rule for {type(layer).__name__}, which is no map of a lattice")
    return _local(layer, state)


def _local(layer: Layer, state: Lags) -> Lags:
    """A layer that acts on each position by itself."""
    block = Block(readable(layer, state.kind))
    one = float(state.first.flat[0])
    first, kind = _own(block, state.first), kind_after(layer, state.kind)
    if state.second is None or state.cross is None:
        return Lags(first, kind=kind)
    other = float(state.second.flat[0])
    return Lags(first, _own(block, state.second), pair_map(block, "nngp", one, other, state.cross), kind)


def _own(block: Block, k: Array) -> Array:
    q = float(k.flat[0])
    out = pair_map(block, "nngp", q, q, k)
    out.flat[0] = block("nngp_diagonal", [[q]])[0, 0]
    return out


@passed.register
def _(layer: Identity, state: Lags) -> Lags:
    return state


@passed.register
def _(layer: Dense, state: Lags) -> Lags:
    weight_var, bias_var = number(layer, "weight_var"), number(layer, "bias_var")
    return state.mapped(lambda x: weight_var * x + bias_var, GAUSSIAN)


@passed.register
def _(layer: Conv, state: Lags) -> Lags:
    if not is_pointwise(layer):
        raise NoRule(f"'{layer}' mixes positions: on a lattice only a filter of size 1 and Spectral layers have a rule")
    return passed(Dense(layer.weight_var, layer.bias_var), state)


@passed.register
def _(layer: Spectral, state: Lags) -> Lags:
    found, bias_var = filter_of(layer, state.shape), number(layer, "bias_var")
    return state.mapped(lambda x: found(x) + bias_var, GAUSSIAN)


@passed.register
def _(layer: Scale, state: Lags) -> Lags:
    square = number(layer, "factor") ** 2
    behind = passed(layer.layer, state)
    return behind.mapped(lambda x: square * x, behind.kind)


@passed.register
def _(layer: Sum, state: Lags) -> Lags:
    branches = [passed(branch, state) for branch in layer.branches]
    sums = [np.sum(arrays, axis=0) for arrays in zip(*(b.arrays for b in branches), strict=True)]
    return state.replaced(sums, kind_after(layer, state.kind))


@passed.register
def _(layer: Chain, state: Lags) -> Lags:
    return reduce(lambda now, part: passed(part, now), layer.layers, state)


@passed.register
def _(layer: Repeat, state: Lags) -> Lags:
    if state.second is None and state.kind == GAUSSIAN:
        try:
            form = fourier_form(layer.block)
        except NoRule:
            pass
        else:
            return Lags(behind(form, state.first, layer.times))
    return reduce(lambda now, _: passed(layer.block, now), range(layer.times), state)


# -- one block over depth ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def filter_of(layer: Spectral, shape: Shape) -> Filter:
    """The layer on the lags of a grid; ValueError for a symbol without a value and for modes that the grid has not."""
    return Filter(number(layer, "weight_var") * mode_shares(layer, shape))


def orbit(form: FourierForm, start: Array, depth: int) -> Array:
    """The covariances of one input at layers 0 .. depth, (depth + 1, *grid)."""
    states, whole = _swept(form, start, depth)
    return whole(states)


def behind(form: FourierForm, start: Array, depth: int) -> Array:
    """The covariance of one input behind `depth` layers."""
    states, whole = _swept(form, start, depth)
    return np.asarray(whole(states[-1:])[0])


def _swept(form: FourierForm, start: Array, depth: int) -> tuple[Array, Callable[[Array], Array]]:
    """One half of each of the even covariances at layers 0 .. depth, and what makes whole ones of such halves: compiled
    over depth where phi is closed and few modes are kept."""
    filtered, block, shape = filter_of(form.spectral, start.shape), Block(form.phi), start.shape
    local, skip, bias_var = numbers_of(form)
    matrices = filtered.matrices if block.closed("nngp") else None
    if matrices is None:
        found = np.empty((depth + 1, *rows(start).shape))
        found[0] = rows(start)
        for before, after in pairwise(found):
            met = _own(block, before)
            after[:] = filtered.on_rows(met) + local * met + skip * before + bias_var
        return found, lambda states: unfolded(states, shape)
    lags, _, place = half(shape)
    halves = np.empty((depth + 1, lags.size))
    halves[0] = start.ravel()[lags]
    module, _ = program(block.shape, "nngp")
    module.nngp_lattice(halves, *matrices, local + (filtered.white or 0.0), skip, bias_var, block.params)
    return halves, lambda states: states[:, place].reshape(len(states), *shape)


def numbers_of(form: FourierForm) -> tuple[float, float, float]:
    """pointwise_var, skip^2, bias_var; ValueError for a symbol without a value."""
    for name, value in (("pointwise_var", form.pointwise_var), ("skip", form.skip)):
        if value.free_symbols:
            raise ValueError(f"{name} of the block has no value: {value} is a symbol, give a number")
    return float(form.pointwise_var), float(form.skip) ** 2, number(form.spectral, "bias_var")
