"""Pictures (extra `plot`): depth trajectories with networks beside them, correlation maps, verdicts.

Every function takes an optional matplotlib axes and returns the axes it drew on; `save` writes a figure whole or not
at all.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meanfield.build import Array, Block
from meanfield.files import neighbour
from meanfield.phase import checked_block, phase
from meanfield.uniform import uniform_twin
from solvers.iterate import orbit
from symbolic.networks import Dense, Layer, Repeat

if TYPE_CHECKING:
    from meanfield.check import Verdict

COLOURS = {"agrees": "tab:green", "disagrees": "tab:red", "inconclusive": "tab:orange"}
INK = "tab:blue"


def plot(block: Layer, kind: str = "c_map", ax: Any = None, **options: Any) -> Any:
    """Draw a block on `ax` or new axes, which are returned: kind "c_map" (its correlation map) or "depth" (lengths and
    correlations by layer, lines of the theory and points of networks).

    options of "depth": layers (12), width (256), draws (32), start (1, 1, 0.5) and seed (0) of the networks.
    Raises ValueError for an unknown kind, ImportError without matplotlib, and what mf.phase and mf.sample raise.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown picture {kind!r}; known are {', '.join(KINDS)}")
    return KINDS[kind](checked_block(block), ax, **options)


def axes(ax: Any) -> Any:
    """The axes given, or new ones; ImportError with the command to run if matplotlib is missing."""
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'meanfield-calculator[plot]'") from error
    return Figure(figsize=(6.4, 4.4), layout="constrained").add_subplot()


def c_map(block: Layer, ax: Any = None) -> Any:
    """c' = C(c) at the fixed length, the diagonal, and the stable fixed point."""
    ax, found, built = axes(ax), phase(block), Block(uniform_twin(block))
    q = min(max(found.q, 1e-30), 1e6)
    c = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 101))
    states = np.stack([np.full_like(c, q), np.full_like(c, q), q * c], axis=1)
    scale = float(built("nngp_diagonal", [q])[0, 0])
    ax.plot(c, built("nngp", states)[:, 0] / scale, color=INK, label="C(c)")
    ax.plot([-1, 1], [-1, 1], color="0.7", lw=0.8)
    ax.plot(found.c, found.c, "o", color=INK, label=f"c* = {found.c:.4g}")
    ax.set(
        xlabel="correlation c",
        ylabel="C(c) behind one block",
        title=f"{block}: {found.phase}",
        aspect="equal",
    )
    ax.legend(frameon=False)
    return ax


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Behind 0 .. layers blocks, of theory and networks: lengths and correlations with their standard errors."""

    length: Array
    correlation: Array
    sampled_length: Array
    length_error: Array
    sampled_correlation: Array
    correlation_error: Array
    width: int
    draws: int


def trajectories(
    block: Layer,
    *,
    layers: int = 12,
    width: int = 256,
    draws: int = 32,
    start: tuple[float, float, float] = (1.0, 1.0, 0.5),
    seed: int = 0,
    networks: Layer | None = None,
) -> Trajectories:
    """Theory of `block` and real networks of it, or of `networks`, from pre-activations of variances and covariance
    `start`."""
    from meanfield.finite import sample
    from meanfield.observe import inputs
    from meanfield.theory import Case

    built, drawn = Block(block), block if networks is None else networks
    p, q, k = orbit(lambda state: built("orbit", state)[0], start, layers).T
    x = inputs(Case(block, block, layers, start), pairs=1)
    found = sample(Dense(1, 0) >> Repeat(drawn, layers), x, width=width, draws=draws, seed=seed).grams[:, 1:]
    lengths = found[:, :, 1, 1]
    correlations = found[:, :, 0, 1] / np.sqrt(found[:, :, 0, 0] * found[:, :, 1, 1])
    return Trajectories(q, k / np.sqrt(p * q), *summary(lengths), *summary(correlations), width, draws)


def summary(found: Array) -> tuple[Array, Array]:
    """Mean over the draws, and its standard error."""
    return np.asarray(found.mean(0)), np.asarray(found.std(0, ddof=1) / np.sqrt(len(found)))


def depth(block: Layer, ax: Any = None, **options: Any) -> Any:
    """Length q and correlation c by layer: lines the theory, points the mean of networks with two standard errors.

    options: layers (12), width (256), draws (32), start (1, 1, 0.5), seed (0).
    """
    found = trajectories(block, **options)
    ax = walked(found, axes(ax))
    ax.set(title=f"{block}\nlines: theory; points: {found.draws} networks of width {found.width}")
    return ax


def walked(found: Trajectories, ax: Any) -> Any:
    """Draw trajectories."""
    at = np.arange(len(found.length))
    for line, points, errors, name, colour in (
        (found.length, found.sampled_length, found.length_error, "length q", INK),
        (found.correlation, found.sampled_correlation, found.correlation_error, "correlation c", "tab:orange"),
    ):
        ax.plot(at, line, color=colour, label=name)
        ax.errorbar(at, points, 2 * errors, fmt="o", ms=3, color=colour, capsize=2)
    ax.set(xlabel="blocks")
    ax.legend(frameon=False)
    return ax


def verdict(found: "Verdict", ax: Any = None) -> Any:
    """(networks - theory)/margin with its confidence interval, for each observable, and the band that agrees."""
    ax = axes(ax)
    for i, row in enumerate(found.rows):
        off, colour = (row.estimate - row.theory) / row.margin, COLOURS[row.outcome]
        ax.plot([row.low / row.margin, row.high / row.margin], [i, i], color=colour)
        ax.plot(off, i, "o", ms=4, color=colour)
    ax.axvspan(-1, 1, color="0.9", zorder=0)
    ax.set_yticks(range(len(found.rows)), [row.label for row in found.rows])
    ax.invert_yaxis()
    ax.set(
        xlabel=f"(networks - theory)/margin, margin {found.margin:.0%}",
        title=f"{found.theory}: {found.outcome}",
    )
    return ax


KINDS = {"c_map": c_map, "depth": depth}


def save(ax: Any, path: str | Path) -> Path:
    """Write the figure of an axes; an interruption leaves no half-written file."""
    path = Path(path)
    with neighbour(path) as temporary:
        ax.figure.savefig(temporary, dpi=150, format=path.suffix[1:] or "png")
    return path


def token_map(found: Any, ax: Any = None, scale: int = 0) -> Any:
    """Of a TransformerDiagram: log10(1 - cosine) over weight_var and qk_var, the edge of chaos, entropy collapse."""
    ax = axes(ax)
    apart = np.log10(np.clip(found.one_minus_cosine[scale], 1e-12, 2))
    drawn = ax.pcolormesh(found.weight_var, found.qk_var, apart, cmap="viridis", vmax=0)
    ax.figure.colorbar(drawn, ax=ax, label=f"log10(1 - cosine) behind {found.depth} blocks")
    ax.axvline(found.edge[scale], color="tab:red", lw=1.2, label="edge of chaos")
    ax.axhline(found.qk_var_c, color="w", lw=1.2, ls="--", label="entropy collapse above")
    ax.set(xlim=found.weight_var[[0, -1]], ylim=found.qk_var[[0, -1]])
    ax.set(
        xlabel="weight_var", ylabel="qk_var", title=f"tokens of cosine {found.start:g}, scale {found.scale[scale]:g}"
    )
    ax.legend(frameon=False, loc="upper left", labelcolor="w")
    return ax


def diagram_map(found: Any, ax: Any = None) -> Any:
    """Of a PhaseDiagram: depth scales over weight_var and bias_var, contours of 3 to 100 layers, the edge of chaos."""
    ax = axes(ax)
    depth = np.clip(np.abs(found.xi_c), 1e-3, 1e6)
    drawn = ax.pcolormesh(found.weight_var, found.bias_var, np.log10(depth).T, cmap="viridis", vmin=0, vmax=3)
    ax.figure.colorbar(drawn, ax=ax, label="log10 of the depth scale, layers")
    if min(depth.shape) > 1:
        lines = ax.contour(
            found.weight_var, found.bias_var, depth.T, levels=[3, 10, 30, 100], colors="w", linewidths=0.6
        )
        ax.clabel(lines, fmt="%g", fontsize=7)
    ax.plot(*found.edge, color="tab:red", lw=1.2, label="edge of chaos")
    ax.set(xlim=found.weight_var[[0, -1]], ylim=found.bias_var[[0, -1]])
    ax.set(xlabel="weight_var", ylabel="bias_var", title=found.block)
    ax.legend(frameon=False, loc="upper left", labelcolor="w")
    return ax
