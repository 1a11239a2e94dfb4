"""The whole road on real data: equations, initialization, kernels of handwritten digits, real networks, a verdict.

Digits are the 8 x 8 images of scikit-learn (extra `demo`), minus the mean of the training images, each row then scaled
to unit mean square, so that all signals are equally long. The network is Dense >> (phi >> Dense) ** 5 with one
weight_var and bias_var throughout. Regression has one-hot targets minus 0.1; networks are drawn with real weights.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from meanfield.build import Array, Block
from meanfield.check import WIDTHS, Verdict, check
from meanfield.edge import edge_of_chaos
from meanfield.finite import grams, sample
from meanfield.init import InitScale, init_scale
from meanfield.kernels import kernel
from meanfield.plot import save
from meanfield.predict import predict
from meanfield.progress import waiting
from meanfield.show import folded, rows_table
from meanfield.theory import Case, Prediction, Theory
from symbolic.activations import activation
from symbolic.critical import NoEdge
from symbolic.limits import derive
from symbolic.networks import Dense, Layer, Pointwise

DEPTH, ALL, TRAINED, FEWEST = 5, 1797, 1000, 50
SHOWN = (0, 1, 8, 8)
MARGIN, ALPHA = 0.05, 1e-3


@dataclass(frozen=True, eq=False)
class Digits:
    """A split: rows of unit mean square, and their labels."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


@dataclass(frozen=True)
class Demo:
    """What was found on the way."""

    activation: str
    equations: dict[str, str]
    init: InitScale
    remarks: tuple[str, ...]
    train: int
    test: int
    accuracy: dict[str, float]
    verdict: Verdict
    figure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def run(
    phi: Any = "tanh",
    *,
    points: int = ALL,
    bias_var: float = 0.05,
    out: Path | None = None,
    seed: int = 0,
    console: Console | None = None,
    **options: Any,
) -> Demo:
    """The demonstration; `options` go to the check (width, draws, max_draws, margin, alpha)."""
    say, act = console or Console(), activation(phi)
    data = digits(points, seed)
    say.rule("1. Equations of one block at infinite width", align="left")
    equations = explain(act, say)
    say.rule("2. Initialization", align="left")
    with waiting("solving"):
        scale, remarks = initialization(act, bias_var)
    for line in (*remarks, str(scale)):
        say.print(Text(line))
    net = network(act, scale)
    say.rule("3. Kernels of handwritten digits, and regression with them", align="left")
    accuracy = regression(net, data, say)
    say.rule("4. Real networks", align="left")
    verdict = compare(net, data, say, seed=seed, **options)
    sizes = len(data.x_train), len(data.x_test)
    found = Demo(act.name, equations, scale, remarks, *sizes, accuracy, verdict, str(out or "") or None)
    if out is not None:
        with waiting("drawing"):
            save(figure(found, act, data, seed), out)
        say.print(Text(f"figure: {out}"))
    return found


def digits(points: int, seed: int) -> Digits:
    """A random split of the first `points` digits of a random order, 1000 to 797."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the demo needs scikit-learn: pip install 'meanfield-calculator[demo]'") from error
    if not FEWEST <= points <= ALL:
        raise ValueError(f"points must be {FEWEST} to {ALL}, for there are {ALL} digits, not {points}")
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(ALL)[:points]
    x, y, split = x[order], y[order], round(points * TRAINED / ALL)
    x = x - x[:split].mean(axis=0)
    x /= np.sqrt((x * x).mean(axis=1, keepdims=True))
    return Digits(x[:split], y[:split], x[split:], y[split:])


def network(act: Pointwise, scale: InitScale) -> Layer:
    dense = Dense(scale.weight_var, scale.bias_var)
    return dense >> (act >> dense) ** DEPTH


def explain(act: Pointwise, say: Console) -> dict[str, str]:
    """The maps of phi >> Dense with free variances, printed as they are derived."""
    block = act >> Dense()
    say.print(Text("variances p, q and covariance k of two inputs (nngp), and their tangent kernel t (ntk):"))
    equations = {}
    for limit in ("nngp", "ntk"):
        with waiting("deriving"):
            found = derive(block, limit)
            equations[limit] = str(found)
        last = f"  {found.state[-1]}' = {found.update[-1]}"
        for line in (equations[limit] if limit == "nngp" else last).splitlines():
            say.print(Text(folded(line, say.width)))
    return equations


def initialization(act: Pointwise, bias_var: float) -> tuple[InitScale, tuple[str, ...]]:
    """The edge of chaos at this bias_var, else at 0, else the criterion that keeps lengths; and what to say of it."""
    remarks: list[str] = []
    for bias in dict.fromkeys((bias_var, 0.0)):
        try:
            point = edge_of_chaos(act, bias_var=bias)
        except NoEdge as error:
            remarks.append(f"No edge of chaos with bias_var = {bias:g}: {error}.")
            continue
        if bias != bias_var:
            remarks.append(f"So the critical point with bias_var = {bias:g} is taken instead.")
        if point.chi_q > 1 + 1e-12:
            remarks.append(
                f"The length fixed point q = {point.q:.4g} is unstable (chi_q = {point.chi_q:.4g} > 1): "
                "a deep network drifts away from it."
            )
        return init_scale(act, bias_var=bias), tuple(remarks)
    remarks.append("So weights are scaled to keep the length 1 instead (criterion second_moment).")
    return init_scale(act, criterion="second_moment"), tuple(remarks)


def regression(net: Layer, data: Digits, say: Console) -> dict[str, float]:
    """Test accuracies of kernel regression with both kernels."""
    train, test = len(data.x_train), len(data.x_test)
    say.print(Text(folded(f"network: {net}", say.width)))
    say.print(
        Text(f"{train} training and {test} test digits, minus the training mean, each scaled to unit mean square.")
    )
    targets, accuracy = np.eye(10)[data.y_train] - 0.1, {}
    for get in ("nngp", "ntk"):
        with waiting(get):
            guesses = predict(net, data.x_train, targets, data.x_test, get=get).argmax(axis=1)
        accuracy[get] = float((guesses == data.y_test).mean())
        say.print(Text(f"  {get}: {accuracy[get]:.1%} of the test digits are recognised"))
    return accuracy


def shown(data: Digits) -> tuple[Array, list[str]]:
    """The first training digits of the classes SHOWN, with names such as 0, 1, 8a, 8b."""
    rows, names = [], []
    for i, label in enumerate(SHOWN):
        before = SHOWN[:i].count(label)
        rows.append(np.flatnonzero(data.y_train == label)[before])
        names.append(f"{label}{'ab'[before]}" if SHOWN.count(label) > 1 else str(label))
    return data.x_train[rows], names


def entries(x: Array) -> tuple[Array, Array]:
    """Rows and columns of the Gram entries of a few points, each once."""
    i, j = np.array(list(combinations_with_replacement(range(len(x)), 2))).T
    return i, j


def claim(x: Array, names: list[str]) -> Callable[[Layer], Theory]:
    """The statement to be checked: every entry of the kernel of a network on x."""
    i, j = entries(x)

    def solve(net: Layer, case: Case) -> Prediction:
        found = kernel(net, x)
        labels = tuple(f"K({names[a]}, {names[b]})" for a, b in zip(i, j, strict=True))
        return Prediction(labels, found[i, j], np.sqrt(found[i, i] * found[j, j]))

    def measure(net: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
        return grams(net, x, width=width, rng=rng)[-1][i, j]

    return lambda net: Theory(
        "digits", "the kernel of four digits", "", "", derive, solve, measure, {"digits": Case(net, net, DEPTH)}
    )


def compare(net: Layer, data: Digits, say: Console, *, networks: Layer | None = None, **options: Any) -> Verdict:
    """Theory against networks for all Gram entries of four digits, margins relative to sqrt(K_ii K_jj)."""
    x, names = shown(data)
    asked = {"width": WIDTHS, "draws": 250, "max_draws": 4000, "margin": MARGIN, "alpha": ALPHA, **options}
    widths = " and ".join(str(w) for w in asked["width"])
    say.print(
        Text(f"Drawing networks of width {widths} with real weights, and their Gram of {len(x)} training digits ...")
    )
    verdict = check(claim(x, names)(net), networks, **asked)
    say.print(rows_table(verdict))
    say.print(
        Text(
            f"{verdict.draws} networks at each width, extrapolated to infinite width; "
            f"+- holds for all entries together with {1 - verdict.alpha:.1%}; "
            f"allowed is {verdict.margin:.0%} of sqrt(K_ii K_jj)."
        )
    )
    say.print(Text(f"Theory and networks: {verdict.outcome}.", style="bold"))
    return verdict


# -- the figure --------------------------------------------------------------------------------------------------------


def figure(found: Demo, act: Pointwise, data: Digits, seed: int) -> Any:
    """Three pictures: the kernel sorted by class, covariances by depth with networks beside them, the verdict."""
    from meanfield.plot import axes
    from meanfield.plot import verdict as draw_verdict

    first = axes(None)
    picture = first.figure
    first.remove()
    picture.set_size_inches(15, 5)
    left, middle, right = picture.subplots(1, 3, width_ratios=(1, 1.1, 1))
    draw_kernel(left, network(act, found.init), data)
    draw_depth(middle, act, found.init, data, seed)
    draw_verdict(found.verdict, right)
    right.locator_params(axis="x", nbins=5)
    right.set_title(f"{found.verdict.outcome}: {found.verdict.draws} networks at each width")
    accuracy = ", ".join(f"{name.upper()} {value:.1%}" for name, value in found.accuracy.items())
    picture.suptitle(
        f"{found.activation}: weight_var = {found.init.weight_var:.4g}, bias_var = {found.init.bias_var:.4g}; "
        f"test accuracy of kernel regression: {accuracy}"
    )
    return left


def draw_kernel(ax: Any, net: Layer, data: Digits, most: int = 300) -> None:
    y = data.y_test[:most]
    order = np.argsort(y, kind="stable")
    found = kernel(net, data.x_test[:most][order])
    scale = np.sqrt(np.outer(found.diagonal(), found.diagonal()))
    drawn = found / scale
    image = ax.imshow(drawn, vmin=np.quantile(drawn, 0.01), vmax=np.quantile(drawn, 0.995), cmap="viridis")
    starts = np.searchsorted(y[order], np.arange(11))
    middles = (starts[:-1] + starts[1:] - 1) / 2
    for edge in starts[1:-1]:
        ax.axhline(edge - 0.5, color="white", lw=0.4)
        ax.axvline(edge - 0.5, color="white", lw=0.4)
    ax.set_xticks(middles, range(10))
    ax.set_yticks(middles, range(10))
    ax.tick_params(length=0)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="correlation of outputs")
    ax.set(title=f"NNGP kernel of {len(y)} test digits, by class")


def draw_depth(
    ax: Any, act: Pointwise, scale: InitScale, data: Digits, seed: int, width: int = 256, draws: int = 250
) -> None:
    """Gram entries by depth: lines the theory, points the mean of networks with two standard errors."""
    x, names = shown(data)
    i, j = entries(x)
    block = act >> Dense(scale.weight_var, scale.bias_var)
    gram = scale.weight_var * (x @ x.T) / x.shape[1] + scale.bias_var
    states = [np.stack([gram[i, i], gram[j, j], gram[i, j]], axis=1)]
    for _ in range(DEPTH):
        states.append(Block(block)("orbit", states[-1]))
    theory = np.array(states)[:, :, 2]
    points = sample(network(act, scale), x, width=width, draws=draws, seed=seed).grams[:, 1:][:, :, i, j]
    at = np.arange(DEPTH + 1)
    errors = 2 * points.std(axis=0, ddof=1) / np.sqrt(draws)
    for n, (a, b) in enumerate(zip(i, j, strict=True)):
        if a == b and a:  # all digits are equally long, so one of the four lengths is enough
            continue
        name = "length" if a == b else f"K({names[a]}, {names[b]})"
        colour = f"C{n}" if a != b else "black"
        ax.plot(at, theory[:, n], color=colour, lw=1.2, label=name)
        ax.errorbar(at, points.mean(axis=0)[:, n], errors[:, n], fmt="o", ms=3, color=colour, capsize=2)
    ax.set(xlabel="depth", ylabel="Gram entry", title=f"lines: theory; points: {draws} networks of width {width}")
    ax.legend(frameon=False, fontsize=8)
