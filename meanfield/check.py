"""Is the equation true? Real finite networks against the infinite-width theory, as a statistical statement.

Independent networks at two or more widths, means extrapolated in 1/width, an equivalence test with margins relative
to the natural scale of each observable, looks planned in advance: agrees, disagrees or inconclusive, with the draws
that would settle it. alpha bounds the chance of either wrong answer.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from meanfield.finite.sample import draw_many, entropy
from meanfield.observe import sample_pair, solve_pair
from meanfield.phase import checked_block
from meanfield.progress import progress
from meanfield.theory import Case, Theory
from meanfield.theory import theory as named
from solvers.agreement import Decision, Row, decide
from symbolic.limits import derive
from symbolic.networks import Layer

# Far apart, for the noise of the intercept: (4 y(4n) - y(n))/3 has a fifth of the variance of 2 y(2n) - y(n).
WIDTHS, DRAWS, MAX_DRAWS = (128, 512), 250, 8000
SAMPLERS = ("weights", "conditional")
DEPTH, START = 3, (1.0, 1.0, 0.5)


@dataclass(frozen=True)
class Verdict:
    """`outcome` is "agrees", "disagrees" or "inconclusive"; `rows` are the evidence, one for each observable.

    `draws` networks at each of `widths` were drawn from `seed`; draws_needed is about how many would settle an
    inconclusive verdict, else None. margin and alpha are those of mf.check; `theory` against `networks` in words.
    """

    outcome: str
    rows: tuple[Row, ...]
    draws: int
    draws_needed: int | None
    widths: tuple[int, ...]
    margin: float
    alpha: float
    seed: int
    theory: str
    networks: str

    def __str__(self) -> str:
        from meanfield.show import verdict_table

        return verdict_table(self)

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise TypeError(
            "a verdict has three outcomes: compare verdict.outcome with 'agrees', 'disagrees' or 'inconclusive'"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def plot(self, ax: Any = None) -> Any:
        """Estimate minus theory with its interval and margin, for each observable; the axes (needs matplotlib)."""
        from meanfield.plot import verdict

        return verdict(self, ax)


def check(
    theory: Theory | Layer | str,
    networks: Layer | None = None,
    *,
    case: str | None = None,
    width: int | Sequence[int] | None = None,
    draws: int = DRAWS,
    max_draws: int = MAX_DRAWS,
    margin: float = 0.02,
    alpha: float = 1e-3,
    seed: Any = 0,
    depth: int | None = None,
    start: tuple[float, float, float] | None = None,
    sampler: str = "weights",
) -> Verdict:
    """Check a theory, or the length and correlation maps of a block, against simulated networks.

    A block is applied `depth` times (3) to pre-activations of variances and covariance `start` (1, 1, 0.5).
    `networks` is the block whose networks are drawn (default: the theory's own), so check(block, networks=other) asks
    whether a difference would be noticed. For a Theory, or the name of one, every case is checked (or the one named),
    alpha shared among them. A single width n stands for n and 4n; none given, for 128 and 512 or those of the theory.
    `draws` networks of each width are looked at first, then twice as many, up to `max_draws`. `margin` is relative to
    the scale of each observable; either wrong answer has a probability of at most `alpha`. `seed`: an integer or a
    Generator; the same seed draws the same networks.
    sampler="conditional" draws each layer from its exact conditional Gaussian instead of from weights: the same law,
    much cheaper, forward observables only.
    Raises ValueError for unknown names (with the nearest), cases, samplers, widths, draws, depth and start that are
    none; what the theory's own solver raises, such as NotConverged.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}; known are {' and '.join(SAMPLERS)}")
    if isinstance(theory, str):
        theory = named(theory)
    if isinstance(theory, Theory):
        if sampler != "weights" or depth is not None or start is not None:
            raise ValueError("a theory brings its own networks and cases: depth=, start= and sampler= are for blocks")
        cases = theory.cases if case is None else {case: _case(theory, case)}
    else:
        if case is not None:
            raise ValueError(f"'{theory}' is a block and has no cases: case= is for theories")
        checked_block(theory)
        cases = {"": Case(theory, theory, _depth(DEPTH if depth is None else depth), _start(start or START))}
        theory = Theory(
            "",
            str(theory),
            "",
            "",
            derive,
            solve_pair,
            partial(sample_pair, conditional=sampler == "conditional"),
            cases,
        )
    root, wanted = entropy(seed), (theory.widths or WIDTHS) if width is None else width
    widths = (wanted, 4 * wanted) if isinstance(wanted, int) else tuple(wanted)
    decided = []
    for name, chosen in cases.items():
        drawn = chosen.block if networks is None else networks
        options = {
            "widths": widths,
            "draws": draws,
            "max_draws": max_draws,
            "margin": margin,
            "alpha": alpha / len(cases),
        }
        found = _decide(theory, chosen, drawn, root, options)
        prefix = f"{name}: " if len(cases) > 1 else ""
        decided.append(replace(found, rows=tuple(replace(r, label=prefix + r.label) for r in found.rows)))
    shown = theory.name or theory.title
    against = str(networks) if networks is not None else "its own networks"
    return _joined(decided, alpha, root, shown, against)


def _decide(theory: Theory, case: Case, networks: Layer, seed: int, options: dict[str, Any]) -> Decision:
    predicted = theory.solve(case.block, case)

    def draw(width: int, first: int, last: int) -> Any:
        observe = partial(theory.sample, networks, case, width)
        return draw_many(observe, width=width, start=first, stop=last, seed=seed)

    with progress("networks") as report:
        return decide(predicted.labels, predicted.values, predicted.scales, draw, progress=report, **options)


def _joined(decided: list[Decision], alpha: float, seed: int, theory: str, networks: str) -> Verdict:
    outcomes = {d.outcome for d in decided}
    outcome = next(o for o in ("disagrees", "inconclusive", "agrees") if o in outcomes)
    rows = tuple(row for d in decided for row in d.rows)
    needed = [d.draws_needed for d in decided if d.draws_needed is not None]
    first = decided[0]
    draws = max(d.draws for d in decided)
    return Verdict(
        outcome,
        rows,
        draws,
        max(needed, default=None),
        first.widths,
        first.margin,
        alpha,
        seed,
        theory,
        networks,
    )


def _case(theory: Theory, name: str) -> Case:
    if name not in theory.cases:
        raise ValueError(f"{theory.name} has no case {name!r}; it has {', '.join(theory.cases)}")
    return theory.cases[name]


def _depth(depth: Any) -> int:
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth is how often the block is applied, a whole number of at least 1, not {depth!r}")
    return depth


def _start(start: Any) -> tuple[float, float, float]:
    p, q, k = (float(s) for s in start)
    if not (p > 0 and q > 0 and k * k < p * q):
        raise ValueError(f"start is two variances and a covariance (p, q, k) with k^2 < p q, not {start!r}")
    return p, q, k
