"""The theory of Fourier neural operators: networks with real weights, and cases that are refused."""

from dataclasses import replace
from functools import partial

import pytest

import meanfield as mf
from meanfield.theories.koshizuka2024 import THEORY, sample


@pytest.mark.slow
@pytest.mark.parametrize("case", ["critical tanh, modes dropped", "relu, complex mean, modes dropped"])
def test_the_theory_agrees_with_real_weights(case):
    theory = replace(THEORY, sample=partial(sample, conditional=False), widths=(64, 256))
    assert mf.check(theory, case=case).outcome == "agrees"
    assert mf.check(theory, networks=theory.cases[case].twin, case=case).outcome == "disagrees"


def test_a_case_without_a_grid_is_refused():
    block = mf.tanh >> mf.Spectral(3, 2, 0)
    with pytest.raises(TypeError, match="a Fourier neural operator needs a grid: write OnGrid"):
        mf.check(replace(THEORY, cases={"": mf.Case(block, block)}))
