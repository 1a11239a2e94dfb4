"""Maps: what a user sees of a derived limit."""

from typing import Any

import pytest
from sympy import Matrix, Rational, Symbol, nan, pi, zoo

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.functions import Whole
from symbolic.gaussian import Mean, k, p, q, t
from symbolic.limits import derive
from symbolic.maps import Map
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Dense, Dropout, Identity
from tests.symbolic.quadrature_oracle import numeric

RELU, TANH, ERF = ACT["relu"], ACT["tanh"], ACT["erf"]
VALUES = {p: 1.3, q: 0.7, k: 0.4, t: 0.8, WEIGHT_VAR: 1.5, BIAS_VAR: 0.2}


def test_the_update_is_closed_and_spelled_out() -> None:
    """No means and none of the package's own words are left where a formula exists."""
    derived = derive(RELU >> Dense())
    assert derived.closed and not any(e.has(Mean, Whole) for e in derived.update)
    assert derived.update[1] == WEIGHT_VAR * q / 2 + BIAS_VAR


def test_an_open_mean_is_shown_and_said() -> None:
    """tanh has no closed second moment."""
    derived = derive(TANH >> Dense())
    assert not derived.closed and "E[tanh(u)**2; q]" in str(derived)


def test_parameters_are_the_other_symbols_by_name() -> None:
    """The state is none of them."""
    slope = Symbol("alpha", positive=True)
    derived = derive(slope * (RELU >> Dropout(Symbol("keep", positive=True)) >> Dense()))
    assert [s.name for s in derived.params] == ["alpha", "bias_var", "keep", "weight_var"]
    assert derive(RELU >> Dense(2, 0)).params == () and derive(RELU >> Dense(2, 0)).state == (p, q, k)


@pytest.mark.parametrize("limit", ["length", "nngp", "ntk", "ntk_diagonal", "gradient"])
@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "sin", "linear"])
def test_the_jacobian_is_the_derivative_of_the_update(name: str, limit: str) -> None:
    """Deriving the open means and closing afterwards gives what deriving the closed formula gives, off the diagonal."""
    derived = derive(ACT[name] >> Dense(), limit)
    values = {**VALUES, **{s: 0.9 for s in derived.state if s not in VALUES}}
    direct = Matrix([[e.diff(s) for s in derived.state] for e in derived.update])
    for found, wanted in zip(derived.jacobian(), direct, strict=True):
        assert numeric(found, values) == pytest.approx(numeric(wanted, values), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "erf", "gelu"])
def test_the_jacobian_is_finite_where_the_two_inputs_meet(name: str) -> None:
    """The closed ReLU dual differentiated is 0/0 at k = p = q; the derivative closed is not."""
    at_one = derive(ACT[name] >> Dense(2, 0)).jacobian().subs({p: 1, q: 1, k: 1})
    assert not at_one.has(nan, zoo)
    assert all(entry.is_finite for entry in at_one)


def test_chi_one_of_relu_is_one() -> None:
    """dk'/dk = weight_var/2 at correlation 1, exactly."""
    assert derive(RELU >> Dense(2, 0)).jacobian().subs({p: 1, q: 1, k: 1}) == Matrix([[1, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_maps_compose_as_blocks_do() -> None:
    """map(a) >> map(b) = map(a >> b), in any limit, also through open means."""
    first, second = ERF >> Dense(), TANH >> Dense(Symbol("w", positive=True), Rational(1, 3))
    for limit in ("nngp", "ntk"):
        composed, whole = derive(first, limit) >> derive(second, limit), derive(first >> second, limit)
        assert composed.state == whole.state and composed.name == whole.name
        for one, other in zip(composed.raw, whole.raw, strict=True):
            values = {**VALUES, Symbol("w", positive=True): 1.1}
            assert numeric(one, values) == pytest.approx(numeric(other, values), rel=1e-12)


@pytest.mark.parametrize(
    ("other", "given"),
    [
        (derive(RELU >> Dense(), "ntk"), "'relu >> Dense.*' is a map of ntk"),
        (RELU >> Dense(), ".* is no map"),
        (2, "2 is no map"),
    ],
)
def test_maps_of_different_limits_do_not_compose(other: Any, given: str) -> None:
    """A state of one limit means nothing to another."""
    with pytest.raises(TypeError, match=f"only maps of the same limit compose: this one is of nngp, and {given}"):
        derive(RELU >> Dense()) >> other


def test_a_map_prints_its_block_its_limit_and_its_update() -> None:
    """One line for each component."""
    text = str(derive(RELU >> Dense(2, 0), "length"))
    assert text == "relu >> Dense(weight_var=2, bias_var=0)   [length]\n  q' = q"
    assert repr(derive(RELU >> Dense(2, 0), "length")) == text


def test_latex_writes_the_papers_letters() -> None:
    """sigma_w^2 and sigma_b^2, aligned at the equals signs, one row each."""
    text = derive(TANH >> Dense()).latex()
    assert r"\sigma_w^2" in text and r"\sigma_b^2" in text and "weight" not in text
    assert text.startswith(r"\begin{aligned}") and text.endswith(r"\end{aligned}")
    assert text.count("&=") == 3 and text.count(r"\\") == 2 and r"\operatorname{E}" in text


def test_latex_of_a_length_map() -> None:
    """The whole text of a short one."""
    text = derive(RELU >> Dense(), "length").latex()
    assert text == r"\begin{aligned}q' &= \sigma_b^2 + \frac{q \sigma_w^2}{2}\end{aligned}"


def test_a_notebook_shows_the_formula() -> None:
    """_repr_latex_ is the LaTeX in dollars."""
    derived = derive(ERF >> Dense())
    assert derived._repr_latex_() == f"$\\displaystyle {derived.latex()}$"


def test_maps_are_values() -> None:
    """Equal derivations are equal, and usable as keys."""
    one, other = derive(Identity() + (ERF >> Dense())), derive(Identity() + (ERF >> Dense()))
    assert one == other and hash(one) == hash(other) and one != derive(ERF >> Dense())
    assert isinstance(one, Map) and one.update is one.update


def test_the_closed_update_contains_pi_exactly() -> None:
    """No floats enter a derivation."""
    assert not any(e.has(1.0) for e in derive(RELU >> Dense(0.05, 0.1)).update)
    assert derive(RELU >> Dense(0.05, 0.1)).update[2].has(pi)
