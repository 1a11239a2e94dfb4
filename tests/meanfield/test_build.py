"""The bridge: names meet values, one text for all values, and a second process that finds it compiled."""

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

import meanfield as mf
from meanfield.build import QUESTIONS, Block, is_closed, program
from symbolic.limits.nngp import Moments, cross, moments
from symbolic.networks import Layer
from symbolic.signals import FEATURES, kind_after
from symbolic.structure import with_symbols


@dataclass(frozen=True, repr=False)
class Halve(Layer):
    """x -> x/2, known to the nngp limit alone."""


kind_after.register(Halve)(lambda layer, kind: FEATURES)
moments.register(Halve)(lambda layer, s: Moments(s.q / 4))
cross.register(Halve)(lambda layer, s: s.k / 4)


def test_a_layer_that_one_limit_knows_answers_the_questions_of_that_limit():
    halved, same = Block(mf.relu >> Halve() >> mf.Dense(8, 0.1)), Block(mf.relu >> mf.Dense(2, 0.1))
    np.testing.assert_allclose(halved("orbit", [(1.0, 2.0, 0.5)]), same("orbit", [(1.0, 2.0, 0.5)]), rtol=1e-14)
    with pytest.raises(mf.NoRule, match="the ntk limit has no rule for Halve"):
        halved("ntk", [(1.0, 2.0, 0.5, 1.0)])


CODE = """
import sys, meanfield as mf
from meanfield.build import program
found = mf.phase(mf.erf >> mf.Dense({weight_var}, .05))
modules = [m for name, m in sys.modules.items() if name.startswith("_generated_")]
rows = [f for m in modules for name, f in vars(m).items() if name.endswith("_rows")]
hits = sum(sum(f.stats.cache_hits.values()) for f in rows)
misses = sum(sum(f.stats.cache_misses.values()) for f in rows)
print(repr(found.q), hits, misses)
"""


def in_a_process(folder, weight_var=4):
    environment = os.environ | {"MEANFIELD_CACHE": str(folder)}
    code = CODE.format(weight_var=weight_var)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    q, hits, misses = done.stdout.split()
    return float(q), int(hits), int(misses)


def test_a_second_process_finds_everything_compiled(tmp_path):
    first = in_a_process(tmp_path)
    files = sorted(p.name for p in tmp_path.rglob("*.nbc"))
    second = in_a_process(tmp_path)
    assert first[1] == 0 < first[2]
    assert (second[1], second[2]) == (first[2], 0)
    assert second[0] == first[0]
    assert sorted(p.name for p in tmp_path.rglob("*.nbc")) == files
    assert in_a_process(tmp_path, weight_var=3)[2] == 0  # other values, the same text


def test_one_text_serves_every_value():
    shapes = {with_symbols(mf.erf >> mf.Dense(w, b))[0] for w, b in ((1, 0), (2.5, 0.1), (9, 3))}
    assert len(shapes) == 1
    assert program(shapes.pop(), "length")[1] == 2


@pytest.mark.parametrize("question", QUESTIONS)
def test_rows_of_states_give_rows_of_results(question):
    block, arguments = Block(mf.erf >> mf.Dense(1.5, 0.1)), QUESTIONS[question][0]
    states = np.tile({1: [0.7], 2: [0.7, 0.3], 3: [0.7, 0.9, 0.4], 4: [0.7, 0.9, 0.4, 0.2]}[len(arguments)], (5, 1))
    found = block(question, states)
    assert len(found) == 5
    assert (found == found[0]).all()
    assert np.isfinite(found).all()


def test_the_numbers_of_a_block_in_the_order_of_its_layers():
    block = Block(mf.Identity() + 0.5 * (mf.erf >> mf.Dropout(0.8) >> mf.Dense(1.5, 0.1)))
    assert sorted(block.params) == [0.1, 0.5, 0.8, 1.5]


def test_two_layers_of_a_block_keep_their_own_numbers():
    block = Block(mf.erf >> mf.Dense(2, 0) >> mf.relu >> mf.Dense(3, 0.5))
    inner = Block(mf.erf >> mf.Dense(2, 0))("length", [0.7])[0, 0]
    assert block("length", [0.7])[0, 0] == pytest.approx(3 * inner / 2 + 0.5, rel=1e-14)


@pytest.mark.parametrize(("name", "closed"), [("erf", True), ("relu", True), ("gelu", True), ("tanh", False)])
def test_what_is_closed(name, closed):
    assert is_closed(with_symbols(mf.activation(name) >> mf.Dense(1, 0))[0], "nngp") is closed


def test_a_free_variance_is_named():
    with pytest.raises(ValueError, match=r"bias_var of 'erf >> Dense.*' has no value: write bias_var="):
        Block(mf.erf >> mf.Dense(1.5))("length", [1.0])
