"""Modules as graphs of steps: executed step by step, a graph returns what the module returns."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from meanfield.torch.graph import Add, Affine, Function, Input, Scale  # noqa: E402
from meanfield.torch.trace import trace  # noqa: E402
from tests.meanfield.face_nets import mlp, residual_mlp  # noqa: E402


def kinds(graph):
    return [type(step.operation) for step in graph.steps]


def test_an_mlp_is_a_chain_of_affine_maps_and_functions():
    graph = trace(mlp(3))
    assert kinds(graph) == [Input, Affine, Function, Affine, Function, Affine]
    assert [step.name for step in graph.steps[1:]] == ["0", "1", "2", "3", "4"]
    assert [step.inputs for step in graph.steps] == [(), (0,), (1,), (2,), (3,), (4,)]


def test_a_residual_block_adds_a_scaled_branch():
    graph = trace(residual_mlp(1, factor=0.25))
    scale, add = (next(step for step in graph.steps if type(step.operation) is kind) for kind in (Scale, Add))
    assert scale.operation.factor == 0.25
    assert add.inputs == (1, graph.steps.index(scale))
