"""What no initialization of a model can do, said beside what was done.

Behind h -> norm(W h) squared gradients grow by E phi'^2/Var phi (batch, batches without end) or E phi'^2/E phi^2
(layer, rms) at length 1 per layer, whatever the variance of W, which the norm divides out (Yang et al. 2019,
arXiv:1902.08129, as recalled; mf.batchnorm derives it for finite batches). Residual sums dampen it to 1 + O(1/L).
"""

from meanfield.torch.graph import Function, Norm
from meanfield.torch.initialize_plan import Walk
from meanfield.torch.initialize_point import average, slope_square, square

FACTOR = 3.0  # how much gradients may grow through all layers before it is said


def notes(walk: Walk) -> tuple[str, ...]:
    """Sentences about a plan."""
    return (*walk.notes, *_normalized(walk), *_unscaled(walk))


def _normalized(walk: Walk) -> list[str]:
    sums, growth, names = walk.aims.sums, 1.0, []
    for at, step in enumerate(sums.steps):
        operation = step.operation
        if not isinstance(operation, Function) or at in sums.inside or not step.inputs:
            continue
        norm = sums.steps[step.inputs[0]].operation
        if isinstance(norm, Norm) and not any(at in sums.before[total] for total in sums.count):
            centred = average(operation.phi, 1.0) ** 2 if norm.kind == "batch" else 0.0
            growth *= slope_square(operation.phi, 1.0) / (square(operation.phi, 1.0) - centred)
            names.append(sums.steps[step.inputs[0]].name)
    if growth < FACTOR:
        return []
    return [
        f"squared gradients grow by about {growth:.3g} towards the input through {names[0]} ... {names[-1]}: each "
        "normalization divides out the variance of the weights in front of it, so that none of them helps; residual "
        "sums around these layers do"
    ]


def _unscaled(walk: Walk) -> list[str]:
    names = [walk.aims.sums.steps[at].name for at in dict.fromkeys(walk.aims.shares.unscaled)]
    if not names:
        return []
    return [
        f"the branches added in {', '.join(names)} end in nothing that can be scaled (a normalization without gain, "
        "a sum): their stream grows by a whole branch each"
    ]
