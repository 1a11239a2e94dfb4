"""Critical points against a table computed with mpmath to 34 digits, and what is refused."""

import json
import math

import pytest
import sympy as sp

import meanfield as mf
from symbolic.critical import edge_of_chaos as critical_curve
from symbolic.functions import X

FORMULA = "erf(sqrt(pi)*x/2)"
# activation, bias_var, q, weight_var, chi_q
EDGES = """
tanh   .0025 .1536919358212167 1.260093817229069 .782196237184
tanh   .01   .2733009134582313 1.424205290488596 .678191245939
tanh   .04   .5120785042339015 1.700796372136704 .542564264194
tanh   .05   .5700478816407641 1.760954639606739 .518186484068
tanh   .09   .7634747669104639 1.947654631709159 .451640270403
tanh   .25   1.31793899897215 2.401489235108371 .332899527728
tanh   1     3.036396394623703 3.44321091226544 .186370964717
erf    .0025 .1451458616696844 .9874124436383415 .775018534113
erf    .01   .2532096563311421 1.114280063403777 .663825796440
erf    .09   .6887712694650041 1.521947851663128 .420602358791
erf    .05   .5171768379805644 1.37583900734668 .491556611722
erf    .25   1.183272438895377 1.880547258837298 .297040448383
erf    1     2.744890930343485 2.71838135233546 .154088384088
erf(sqrt(pi)*x/2) .01 .291669336528629 1.38430713532646 .685799032076
erf(sqrt(pi)*x/2) .09 .7780146402030117 1.855856965945137 .450024237153
sin    .0025 .196748322281015 1.19424832228101 .805751677719
sin    .01   .314773257208608 1.30477325720861 .695226742791
sin    .09   .684321903869487 1.59432190386949 .405678096131
sin    .25   1.01977479122869 1.76977479122869 .230225208771
arctan .01   .3162132926091932 1.431488450530696 .705333350337
arctan .09   .9417775849171669 1.959418297040686 .515177042959
gelu   .0025 .0751732372572692 3.42954392508909 1.06386268171
gelu   .01   .183483193107065 2.98279936904327 1.09793217017
gelu   .09   1.42487459064596 2.10386440999889 1.04559310014
gelu   .25   6.43410248668625 1.95963102330321 .985871667864
silu   .0025 .113634639226266 3.62907678748984 1.04278436394
silu   .01   .259712503896183 3.3125882717148 1.07229892811
silu   .09   1.39959478455672 2.48258291815968 1.09399794107
silu   .25   4.42807695402297 2.12269579732778 1.04588291467
mish   .01   .263156400559782 2.37460355783112 1.03609905071
mish   .09   1.58775800205631 2.01954562729166 1.00159680163
elu    .01   .437829230128171 1.38332523220419 .870836943604
elu    .09   2.03453846476551 1.59544142841417 .863051779578
selu   .01   .308941638149081 .760232560760808 .787376797684
selu   .09   1.22196719445771 .967648906773499 .724845408214
"""
ROWS = [line.split() for line in EDGES.strip().splitlines()]
OPEN = {"arctan", "silu", "mish"}

AT_ONE = {
    "tanh": ("2.15330264890279", ".1509646293785529"),
    "erf": ("1.756203682760182", ".1841396778074528"),
    "sin": ("1.761594155955765", ".2384058440442351"),
    "arctan": ("2.", ".1005981671301957"),
    "gelu": ("2.193699903532395", ".06719167470563373"),
    "silu": ("2.635168659878962", ".06247150022516688"),
    "mish": ("2.087317681972859", ".0558181435514512"),
    "elu": ("1.496777435435287", ".0346602520092012"),
    "selu": ("0.9332058017780294", ".06679419822197055"),
}


def slow_if_open(rows):
    return [pytest.param(*r, marks=pytest.mark.slow if r[0] in OPEN else (), id=" ".join(r[:-1][:2])) for r in rows]


def curve_at(name, q):
    curve = critical_curve(mf.activation(name) >> mf.Dense())
    at = {s: sp.Rational(q) for s in curve.raw[1].free_symbols}
    return tuple(float(sp.N(e.subs(at), 20)) for e in curve.raw)


@pytest.mark.parametrize(("name", "bias_var", "q", "weight_var", "chi_q"), slow_if_open(ROWS))
def test_the_critical_point(printed, name, bias_var, q, weight_var, chi_q):
    found = mf.edge_of_chaos(name, bias_var=float(bias_var))
    assert found.weight_var == printed(weight_var)
    assert found.q == printed(q)
    assert found.chi_q == printed(chi_q)
    assert found.stable == (float(chi_q) < 1)


@pytest.mark.parametrize("name", ["tanh", "erf", FORMULA, "sin", "gelu"])
def test_one_per_cent_of_the_bias_variance_would_be_noticed(printed, name):
    bias_var, *texts = next(row[1:] for row in ROWS if row[0] == name and float(row[1]) == 0.01)
    found = mf.edge_of_chaos(name, bias_var=1.01 * float(bias_var))
    assert all(n != printed(t) for n, t in zip((found.q, found.weight_var, found.chi_q), texts, strict=True))


@pytest.mark.parametrize("row", [r for r in ROWS if r[0] in ("tanh", "erf") and r[1] == ".09"], ids=lambda r: r[0])
def test_the_phase_at_the_edge_is_critical(row):
    name, bias_var, q, weight_var, _ = row
    found = mf.phase(mf.activation(name) >> mf.Dense(float(weight_var), float(bias_var)))
    assert found.phase == "critical"
    assert found.q == pytest.approx(float(q), rel=1e-12)


@pytest.mark.parametrize(("name", "texts"), slow_if_open(AT_ONE.items()))
def test_the_curve_at_unit_length(printed, name, texts):
    assert curve_at(name, 1)[:2] == tuple(printed(t) for t in texts)


# -- stability ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bias_var"), [(r[0], float(r[1])) for r in ROWS if r[0] == "gelu" and float(r[4]) > 1]
)
def test_an_unstable_length_is_called_so(name, bias_var):
    found = mf.edge_of_chaos(name, bias_var=bias_var)
    assert not found.stable
    assert "unstable" in str(found)
    assert "chi_q > 1" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["silu", "mish"])
def test_an_unstable_length_is_called_so_for_open_means_too(name):
    assert "chi_q > 1: this length fixed point is unstable" in str(mf.edge_of_chaos(name, bias_var=0.09))


def test_a_stable_length_is_not_called_unstable():
    found = mf.edge_of_chaos("tanh", bias_var=0.05)
    assert found.stable
    assert "unstable" not in str(found)


def test_the_half_stable_point_of_gelu_is_at_an_exact_length():
    curve = critical_curve(mf.gelu >> mf.Dense())
    (length,) = curve.raw[1].free_symbols
    at = {length: (3 + sp.sqrt(17)) / 2}
    weight_var, bias_var, chi_q = (float(sp.N(e.subs(at), 20)) for e in (curve.weight_var, curve.bias_var, curve.chi_q))
    assert chi_q == pytest.approx(1, abs=1e-12)
    assert weight_var == pytest.approx(1.98305825743754713, rel=1e-13)
    assert bias_var == pytest.approx(0.172922390756067352, rel=1e-13)


# K, C_W, C_b
HALF_STABLE = {
    "gelu": ("3.56155281280883027", "1.98305825743754713", ".172922390756067352"),
    "silu": ("14.3201736180257988", "1.98800467826949201", ".555143170721530396"),
    "mish": ("1.67016913247807775", "2.01352406971953029", ".0945217873706652995"),
    "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2": (
        "3.55677284471511141",
        "1.98288823982109221",
        ".172895198263815833",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HALF_STABLE)
def test_half_stable_points(name):
    q, weight_var, bias_var = HALF_STABLE[name]
    found = mf.edge_of_chaos(name, bias_var=float(bias_var))
    at = [found.q, *found.others]
    assert min(abs(x - float(q)) for x in at) < 1e-5  # bias_var is stationary there, so q is known to half the digits
    assert found.weight_var == pytest.approx(float(weight_var), rel=1e-6)
    assert found.chi_q == pytest.approx(1, abs=1e-6)


# -- exact curves -------------------------------------------------------------------------------------------------


def test_relu_is_critical_at_exactly_two():
    assert critical_curve(mf.relu >> mf.Dense()).weight_var == 2


def test_the_derived_map_knows_its_edge():
    curve = mf.derive(mf.erf >> mf.Dense()).edge_of_chaos()
    assert str(curve.weight_var) == "pi*sqrt(4*q + 1)/4"


@pytest.mark.parametrize(
    ("name", "weight_var"),
    [("relu", 2), ("leaky_relu", 2 / (1 + 1e-4)), ("linear", 1), ("abs", 1)],
)
def test_scale_invariant_activations_are_critical_without_bias(name, weight_var):
    found = mf.edge_of_chaos(name)
    assert found.weight_var == pytest.approx(weight_var, rel=1e-15)
    assert (found.bias_var, found.chi_q, found.stable) == (0, pytest.approx(1, abs=1e-15), False)


@pytest.mark.parametrize(("name", "weight_var"), [("tanh", 1), ("sin", 1), ("erf", math.pi / 4), (FORMULA, 1)])
def test_odd_activations_without_bias_are_critical_at_length_zero(name, weight_var):
    found = mf.edge_of_chaos(name)
    assert (found.weight_var, found.q) == (pytest.approx(weight_var, rel=1e-12), 0)


# -- spellings and refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [mf.erf >> mf.Dense(), mf.erf, "erf", "erf(x)", sp.erf(X), mf.erf >> mf.Identity() >> mf.Dense()],
    ids=["block", "layer", "name", "formula", "sympy", "longer block"],
)
def test_every_spelling_has_the_same_edge(spelling):
    assert mf.edge_of_chaos(spelling, bias_var=0.09).weight_var == pytest.approx(1.521947851663128, rel=1e-14)


@pytest.mark.slow
def test_softplus_has_no_edge_of_chaos():
    with pytest.raises(
        mf.NoEdge, match=r"softplus has no edge of chaos: chi_1 = 1 asks for sigma_b\^2 < 0 at every length"
    ):
        mf.edge_of_chaos("softplus")


@pytest.mark.slow
def test_sigmoid_has_an_edge_only_at_impractical_weights():
    found = mf.edge_of_chaos("sigmoid")
    assert found.q > 40
    assert found.weight_var > 100


@pytest.mark.parametrize(
    ("given", "bias_var", "message"),
    [
        ("relu", 0.1, r"relu is critical only at bias_var = 0 \(and weight_var = 2\), not at 0.1"),
        (mf.erf >> mf.Dropout(0.9) >> mf.Dense(), 0.1, "correlation 1 is no fixed point"),
        (
            mf.Identity() + (mf.erf >> mf.Dense()),
            0.1,
            "has no edge of chaos in weight_var: its equation has 0 solutions",
        ),
        (mf.erf >> mf.Dense() >> mf.erf >> mf.Dense(), 0.1, "a block with one free Dense"),
        (mf.erf >> mf.Dense(1.5), 0.1, r"weight_var of .* is not free: write Dense\(\)"),
        (mf.erf >> mf.Dense(1.5, 0.1), 0.1, r"weight_var and bias_var of .* is not free: write Dense\(\)"),
        ((mf.erf >> mf.Dense()) + (mf.erf >> mf.Dense(2, 0)), 0.05, "weight_var = -0.6241.* leave none: lower that"),
        ("erf", -0.1, "at least 0, not -0.1"),
        ("erf", math.nan, "finite and at least 0"),
        ("erf", "a tenth", "bias_var must be a number, finite and at least 0, not 'a tenth'"),
        ("erf", None, "bias_var must be a number, finite and at least 0, not None"),
        ("x**3", 0, "x\\*\\*3 has no critical point at bias_var = 0"),
        ("erg", 0.1, "did you mean erf"),
    ],
    ids=[
        "relu with bias",
        "dropout",
        "residual",
        "two layers",
        "half free",
        "not free",
        "no rest",
        "negative",
        "nan",
        "words",
        "nothing",
        "flat at 0",
        "misspelt",
    ],
)
def test_refusals(given, bias_var, message):
    with pytest.raises(ValueError, match=message):
        mf.edge_of_chaos(given, bias_var=bias_var)


def test_the_result_can_be_written_as_json():
    found = mf.edge_of_chaos("erf", bias_var=0.09)
    assert json.loads(json.dumps(found.to_dict()))["weight_var"] == found.weight_var
