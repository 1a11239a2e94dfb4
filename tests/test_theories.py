"""Every theory at every place where it stakes its name, and the twin that it must tell from itself.

Margins, alpha and seeds are those of `check`. The first case of each theory is checked always, the others in the slow
run, and so are theories whose networks take minutes.
"""

import pytest

import meanfield as mf

MINUTES = {"martens2021", "pennington2018"}
CASES = [
    pytest.param(theory, case, id=f"{name}: {case}", marks=[pytest.mark.slow] if place or name in MINUTES else [])
    for name, theory in mf.theories().items()
    for place, case in enumerate(theory.cases)
]


@pytest.mark.parametrize(("theory", "case"), CASES)
def test_the_theory_agrees_with_its_networks(theory, case):
    found = mf.check(theory, case=case)
    assert found.outcome == "agrees", str(found)


@pytest.mark.parametrize(("theory", "case"), CASES)
def test_a_constant_off_by_ten_per_cent_is_noticed(theory, case):
    found = mf.check(theory, networks=theory.cases[case].twin, case=case)
    assert found.outcome == "disagrees", str(found)


@pytest.mark.parametrize("theory", mf.theories().values(), ids=lambda t: t.name)
def test_a_theory_says_what_it_claims(theory):
    assert theory.claim and theory.cite and theory.title
    assert theory.claim in str(theory)
    assert theory.derive(next(iter(theory.cases.values())).block).update


def test_a_theory_is_found_by_name():
    assert mf.theory("poole2016") is mf.theories()["poole2016"]


def test_an_unknown_theory_is_refused():
    with pytest.raises(ValueError, match="did you mean poole2016"):
        mf.theory("pool2016")
