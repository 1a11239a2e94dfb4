"""What the operations of a graph mean, run on tensors in eval mode: a second reading that shares no rule of the trace.

Affine maps, tables, norms, sums, scales, shifts, functions (lambdified formulas), dropout (nothing), attention on
(batch, tokens, width) or (batch, heads, tokens, d_head). Moves that only a module or a function knows are run as such.
"""

import math

import numpy as np
import pytest
import sympy as sp

torch = pytest.importorskip("torch")
nn = torch.nn

from meanfield.torch import graph as g  # noqa: E402
from symbolic.functions import X, elementary  # noqa: E402


def formula(phi, x):
    """phi in double precision by SymPy's own translation, without ours."""
    erf = np.vectorize(math.erf)
    function = sp.lambdify(X, elementary(phi.formula), [{"erf": erf}, "numpy"])
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.asarray(function(x.detach().numpy().astype(float)) + 0 * x.detach().numpy())).to(x)


def attend(operation, q, k, v):
    width, split = q.shape[-1], q.ndim == 4
    if not split:
        q, k, v = (x.unflatten(-1, (operation.heads, -1)).transpose(1, 2) for x in (q, k, v))
    scale = operation.scale or q.shape[-1] ** -0.5
    scores = scale * q @ k.transpose(-1, -2)
    if operation.causal:
        scores = scores + torch.full(scores.shape[-2:], -math.inf).to(scores).triu(1)
    mixed = scores.softmax(-1) @ v
    return mixed if split else mixed.transpose(1, 2).reshape(*mixed.shape[:1], -1, width)


def norm(operation, x):
    gain, shift = (None if slot is None else slot.tensor() for slot in (operation.gain, operation.shift))
    axis, eps = (1 if operation.kind == "batch" else -1), operation.eps
    mean, var = (x.mean(axis, keepdim=True), x.var(axis, keepdim=True, correction=0))
    if operation.kind == "rms":
        mean, var = torch.zeros_like(var), x.square().mean(axis, keepdim=True)
    elif operation.kind == "batch":
        module = operation.gain.module
        mean, var = (b.reshape(-1, *(1,) * (x.ndim - 2)) for b in (module.running_mean, module.running_var))
        gain, shift = (p.reshape(-1, *(1,) * (x.ndim - 2)) for p in (gain, shift))
    y = (x - mean) / (var + eps).sqrt()
    y = y if gain is None else gain * y
    return y if shift is None else y + shift


def affine(operation, module, x):
    weight = operation.weight.tensor()
    bias = None if operation.bias is None else operation.bias.tensor()
    if weight.ndim == 2:
        y = x @ weight.T
        return y if bias is None else y + bias
    function = (nn.functional.conv1d, nn.functional.conv2d)[weight.ndim - 3]
    return function(x, weight, bias, module.stride, module.padding, module.dilation, module.groups)


def run(model, graph, *inputs, moves=None):
    """The output of the graph; `moves` gives the function of a Move or a Pool by the name of its step."""
    given, found = iter(inputs), []
    for step in graph.steps:
        read = [found[i] for i in step.inputs]
        found.append(_apply(model, step, read, given, moves or {}))
    return found[-1]


def _apply(model, step, read, given, moves):
    operation = step.operation
    if step.name in moves:
        return moves[step.name](*read)
    match operation:
        case g.Input():
            return next(given)
        case g.Affine():
            return affine(operation, operation.weight.module, *read)
        case g.Function():
            return formula(operation.phi, *read)
        case g.Norm():
            return norm(operation, *read)
        case g.Add():
            return sum(c * x for c, x in zip(operation.coefficients, read, strict=True))
        case g.Scale(parameter=None):
            return operation.factor * read[0]
        case g.Scale():
            return operation.parameter.tensor() * read[0]
        case g.Shift():
            return read[0] + operation.parameter.tensor()
        case g.Constant():
            return operation.parameter.tensor()
        case g.Table():
            return operation.weight.tensor()[read[0]]
        case g.Drop():
            return read[0]
        case g.Attend():
            return attend(operation, *read)
        case g.Spectral():
            return operation.module(*read)
    return model.get_submodule(step.name)(*read)
