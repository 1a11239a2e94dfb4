"""The formulas of a Fourier layer against FFTs in NumPy, brute force, and numbers of other quadratures."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import erf
from sympy import Eq, Expr, Rational, lambdify, pi, sqrt

import meanfield as mf
from meanfield.modes import mode_shares
from symbolic.critical import edge_of_chaos
from symbolic.fourier_block import POINTWISE_VAR
from symbolic.fourier_coupling import HAT_C, HAT_SIGMA, OTHER, PHI, J, V
from symbolic.fourier_map import BACK_NEXT, KERNEL, SIGMA, C
from symbolic.fourier_modes import LAG, MODE, MODES, SHARE, N, kept_modes
from symbolic.gaussian import q
from symbolic.networks import BIAS_VAR, WEIGHT_VAR

LAGS = np.arange(16)
START = sum(a * np.cos(2 * np.pi * k * LAGS / 16) for k, a in ((0, 0.4), (1, 0.3), (3, 0.2), (6, 0.1)))


def dual(name, sigma):
    """The textbook duals in NumPy: arcsine and arc-cosine kernel."""
    if name == "erf":
        return 2 / np.pi * np.arcsin(2 * sigma / (1 + 2 * sigma[0]))
    c = np.clip(sigma / sigma[0], -1, 1)
    return sigma[0] * (np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c) / (2 * np.pi)


def shares(modes, n):
    """1 at the kept modes of a grid in the order of the DFT."""
    return (np.abs(np.rint(np.fft.fftfreq(n) * n)) < modes).astype(float)


def brute(name, sigma, kept, weight_var, bias_var=0.0, pointwise_var=0.0, skip=0.0):
    """One layer by FFT."""
    c = dual(name, sigma)
    return np.fft.ifft(weight_var * kept * np.fft.fft(c)).real + bias_var + pointwise_var * c + skip**2 * sigma


def evaluated(expr, n, values, lags=None):
    """An expression in the lag r at N = n, with arrays in place of indexed symbols."""
    function = lambdify((LAG, *values), expr.subs(N, n), "numpy")
    return np.array([np.real(function(int(r), *values.values())) for r in (range(n) if lags is None else lags)])


@pytest.mark.parametrize(
    ("layer", "reference"),
    [
        (mf.erf >> mf.Spectral(9, 2, 0), (0.92911810879508, 0.60190997437183, 0.2563768673959, 0)),
        (mf.erf >> mf.Spectral(3, 2, 0), (0.63144308814941, 0.60769326965085, 0.33960948595265, 0.091438403227419)),
        (
            mf.erf >> mf.Spectral(3, 1.37583900734668, 0.05),
            (0.4843820157977, 0.46804405244384, 0.28362398901931, 0.11290226096489),
        ),
        (mf.relu >> mf.Spectral(9, 2, 0), (1, 0.7374509523179, 0.48274428383549, 0.31830988618379)),
        (mf.relu >> mf.Spectral(3, 2, 0), (0.76870044451378, 0.74829516489993, 0.53725384265075, 0.38507950015952)),
        (mf.relu >> mf.Spectral(1, 2, 0), (0.5570719075,) * 4),
        (
            mf.relu >> mf.Spectral(3, 2, 0, dc="complex"),
            (0.49016449076693, 0.46975921115307, 0.2587178889039, 0.10654354641267),
        ),
    ],
)
def test_one_layer_against_reference_numbers(layer, reference):
    found = mf.fourier_map(layer)
    values = {SIGMA: START, SHARE: 2 * mode_shares(found.form.spectral, (16,))}
    digits = 1e-10 if len(set(reference)) == 1 else 1e-13
    assert_allclose(evaluated(found.composed, 16, values, (0, 1, 4, 8)), reference, atol=digits)


@pytest.mark.parametrize(("n", "modes"), [(8, 5), (7, 4), (8, 3), (8, 1)])
def test_all_forms_of_the_filter_are_that_of_an_fft(n, modes):
    """With the pointwise path and a skip; n = 8, K = 5 keeps the Nyquist mode, which has no partner."""
    layer = mf.fourier_map(mf.FourierBlock(modes, "erf", weight_var=2, pointwise_var=0.5, bias_var=0.1, skip=0.3))
    sigma = 0.5 + 0.3 * np.cos(2 * np.pi * np.arange(n) / n) + 0.1 * np.cos(4 * np.pi * np.arange(n) / n)
    wanted = brute("erf", sigma, shares(modes, n), 2, 0.1, 0.5, 0.3)
    c = dual("erf", sigma)
    kernel = np.array([float(layer.kernel.rhs.subs({N: n, LAG: r})) for r in range(n)])
    values = {SIGMA: sigma, C: c, HAT_C: np.fft.fft(c).real, KERNEL: kernel}
    assert_allclose(evaluated(layer.dual.rhs, n, values), c, atol=1e-14)
    for form in (layer.covariance, layer.one_sided, layer.convolution):
        assert_allclose(evaluated(form.rhs, n, values), wanted, atol=1e-13)
    assert_allclose(kernel, 2 * np.fft.ifft(shares(modes, n)).real, atol=1e-15)
    assert np.abs(evaluated(layer.covariance.rhs, n, values | {HAT_C: np.fft.fft(sigma).real}) - wanted).max() > 0.01


def test_the_plain_dirichlet_kernel_would_count_the_nyquist_mode_twice():
    plain = np.sin(9 * np.pi / 8) / (8 * np.sin(np.pi / 8))
    assert mf.fourier_map(mf.erf >> mf.Spectral(5, 1, 0)).kernel.rhs.subs({N: 8, LAG: 1}) == 0
    assert abs(plain) > 0.1


SPECTRA = [
    mf.Spectral(3, dc="complex"),
    mf.Spectral(1, dc="complex"),
    mf.Spectral(3, spectrum=[1, 0.5, 2]),
    mf.Spectral(4, spectrum=[3, 0.5, 2, 1], dc="complex"),
]


@pytest.mark.parametrize("spectral", SPECTRA, ids=str)
@pytest.mark.parametrize("n", [6, 9])
def test_variances_of_modes_are_those_of_the_drawn_weights(spectral, n):
    modes, wanted = kept_modes(spectral), mode_shares(spectral, (n,))
    for k in range(1 - modes.K, min(modes.K - 1, (n - 1) // 2) + 1):
        assert float(modes.law.subs({MODE: k, N: n, WEIGHT_VAR: 1})) == wanted[k]
    assert [float(e.subs(WEIGHT_VAR, 1)) for e in (modes.s_0, modes.top)] == [wanted[0], wanted.max()]


@pytest.mark.parametrize(
    "options",
    [{"dc": "complex"}, {"dc": "complex", "half_open": True}, {"spectrum": [[2, 1], [1, 3]], "dc": "complex"}],
)
def test_several_axes_have_symbols_for_the_variances(options):
    layer = mf.relu >> mf.Spectral((2, 2), **options)
    found, wanted = mf.fourier_map(layer), mode_shares(layer.layers[1], (6, 6))
    assert found.modes.law is None and found.covariance.rhs.has(SHARE[MODE])
    assert [float(e / WEIGHT_VAR) for e in (found.modes.s_0, found.modes.top)] == [wanted[0, 0], wanted.max()]
    with pytest.raises(mf.NoRule, match="modes of one axis: read the two-sided"):
        _ = found.one_sided


BLOCKS = {
    "simplified": {"pointwise_var": 0},
    "original": {"pointwise_var": 0.6},
    "residual": {"pointwise_var": 0.6, "skip": 0.5},
    "complex": {"pointwise_var": 0, "dc": "complex"},
}


@pytest.mark.parametrize("options", BLOCKS.values(), ids=BLOCKS)
def test_eigenvalues_are_slopes_of_the_brute_force_map(options):
    block = mf.FourierBlock(3, "erf", weight_var=1.2, bias_var=0.05, **options)
    layer, n, q_0, step = mf.fourier_map(block), 9, 0.7, 1e-6
    paths = {name: float(value) for name, value in options.items() if name != "dc"}
    kept = mode_shares(layer.form.spectral, (n,))

    def changed(k):
        """Of the mode k by a change of the mode k."""
        wave = np.cos(2 * np.pi * k * np.arange(n) / n)
        up, down = (brute("erf", q_0 + e * wave, kept, 1.2, 0.05, **paths) for e in (step, -step))
        return (np.fft.fft(up - down)[k] / np.fft.fft(2 * step * wave)[k]).real

    found = {name: e.subs({q: q_0, SHARE[MODE]: 1.2}) for name, e in layer.eigenvalues.items()}
    for k, name in ((0, "dc"), (1, "kept"), (2, "kept"), (3, "dropped"), (4, "dropped")):
        assert float(found[name]) == pytest.approx(changed(k), abs=1e-8)
    c_dot = 4 / np.pi / np.sqrt(1 + 4 * q_0)  # two inputs: covariance moves, variances stay
    both = (1.2 * kept[0] + paths["pointwise_var"]) * c_dot + paths.get("skip", 0) ** 2
    assert float(found["two inputs"]) == pytest.approx(both, abs=1e-14)
    assert float(layer.chi_1.subs(q, q_0)) == pytest.approx(max(float(found["kept"]), both), abs=1e-14)
    assert abs(changed(0) - changed(1)) > 0.05
    residual = float((layer.fixed_point.rhs - brute("erf", np.full(n, q_0), kept, 1.2, 0.05, **paths)[0]).subs(q, q_0))
    assert residual == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(
    ("weight_var", "bias_var", "length", "chi_1", "chi_q"),
    [
        (1.1, 0, 0.0519079321181723, 1.0027488668249, 0.912062464711059),
        (1.5, 0, 0.286894229379991, 1.04056756503252, 0.695491153857547),
        (4, 0, 2.12147356820318, 1.36267333752153, 0.330967148970939),
        (1, 0.05, 0.193592520245297, 0.759031647185394, None),
    ],
)
def test_uniform_states_of_tanh(weight_var, bias_var, length, chi_1, chi_q):
    layer = mf.fourier_map(mf.tanh >> mf.Spectral(3, weight_var, bias_var))
    at = {q: Rational(repr(length))}
    assert float(layer.fixed_point.rhs.subs(at).evalf()) == pytest.approx(length, abs=1e-12)
    assert float(layer.chi_1.subs(at).evalf()) == pytest.approx(chi_1, abs=1e-12)
    if chi_q is not None:
        assert float(layer.eigenvalues["dc"].subs(at).evalf()) == pytest.approx(chi_q, abs=1e-12)
    else:
        assert float(layer.depth_scales()[1].subs(at).evalf()) == pytest.approx(3.62697561805, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "bias_var", "weight_var", "length"),
    [
        ("tanh", 0.05, 1.76095463960674, 0.570047881640764),
        ("tanh", 1.0, 3.44321091226544, 3.0363963946237),
        ("erf", 0.05, 1.37583900734668, 0.517176837980564),
        ("erf", 1.0, 2.71838135233546, 2.74489093034349),
    ],
)
def test_the_edge_of_chaos_at_known_points(name, bias_var, weight_var, length):
    layer, at = mf.fourier_map(mf.FourierBlock(3, name, pointwise_var=0)), {q: Rational(repr(length))}
    curve = layer.edge_of_chaos()
    assert float(curve.weight_var.subs(at).evalf()) == pytest.approx(weight_var, abs=1e-12)
    assert float(curve.bias_var.subs(at).evalf()) == pytest.approx(bias_var, abs=1e-12)
    chi_1 = layer.edge_condition.lhs.subs(at | {WEIGHT_VAR: Rational(repr(weight_var))}).evalf()
    assert float(chi_1) == pytest.approx(1, abs=1e-12)


def test_the_edge_of_chaos_is_that_of_a_dense_layer():
    curve = mf.fourier_map(mf.erf >> mf.Spectral(3)).edge_of_chaos()
    dense = edge_of_chaos(mf.erf >> mf.Dense())
    for name in ("weight_var", "bias_var", "chi_q"):
        assert (getattr(curve, name) - getattr(dense, name)).simplify() == 0
    assert curve.weight_var.subs(q, 0) == pi / 4
    for spectral in (mf.Spectral(1), mf.Spectral((7, 8))):
        assert mf.fourier_map(mf.erf >> spectral).edge_of_chaos() == curve
    # weights drawn complex and a spectrum move it: q gets half of the variance
    moved = mf.fourier_map(mf.erf >> mf.Spectral(3, dc="complex")).edge_of_chaos()
    assert (moved.weight_var - curve.weight_var).simplify() == 0 and (moved.bias_var - curve.bias_var).simplify() != 0


def test_paths_share_the_critical_variance_of_relu():
    assert mf.fourier_map(mf.relu >> mf.Spectral(3)).edge_of_chaos().weight_var == 2
    assert mf.fourier_map(mf.FourierBlock(3, "relu")).edge_of_chaos().weight_var == 2 - POINTWISE_VAR
    half = mf.fourier_map(mf.FourierBlock(3, "relu", skip=sqrt(Rational(1, 2)), pointwise_var=0)).edge_of_chaos()
    assert half.weight_var == 1


def test_blocks_without_an_edge_say_so():
    with pytest.raises(mf.NoEdge, match=r"weight_var and bias_var of .* is not free: leave it out"):
        mf.fourier_map(mf.tanh >> mf.Spectral(3, 1, 0)).edge_of_chaos()
    with pytest.raises(mf.NoEdge, match="has no edge of chaos in weight_var: its equation has 0 solutions"):
        mf.fourier_map(mf.FourierBlock(3, "relu", skip=1, pointwise_var=0)).edge_of_chaos()


def test_uniform_states_do_not_know_how_many_modes_are_kept():
    layer = mf.fourier_map(mf.erf >> mf.Spectral((3, 4)))
    uniform = [layer.fixed_point, layer.chi_1, *layer.eigenvalues.values(), *layer.depth_scales()]
    assert not any(e.has(N, MODES) for e in uniform)
    assert all(layer.covariance.has(s) for s in (N, MODES))
    assert mf.fourier_map(mf.erf >> mf.Spectral(9)).fixed_point == layer.fixed_point


def test_gradients_are_filtered_first_and_then_multiplied():
    """The factor of the last two of ten erf layers for a white gradient, against numbers in 30 digits."""
    layer, kept, states = mf.fourier_map(mf.erf >> mf.Spectral(3, 2, 0)), shares(3, 16), [START]
    for _ in range(9):
        states.append(brute("erf", states[-1], kept, 2))
    gradient = np.eye(16)[0]
    for state, wanted in zip(states[:-3:-1], (0.376763044531, 0.429415710748), strict=True):
        c_dot = evaluated(layer.slopes.rhs, 16, {SIGMA: state})
        swapped = np.fft.ifft(2 * kept * np.fft.fft(c_dot * gradient)).real
        gradient = evaluated(layer.backward.rhs, 16, {SIGMA: state, BACK_NEXT: gradient})
        assert gradient[0] == pytest.approx(wanted, abs=1e-11)
    assert abs(swapped[0] - wanted) > 0.01


def test_all_paths_carry_gradients():
    layer = mf.fourier_map(mf.FourierBlock(2, "erf", weight_var=2, pointwise_var=0.5, bias_var=0, skip=0.3))
    sigma, after = START[::2], np.cos(LAGS[:8]) + 2
    c_dot = 4 / np.pi / np.sqrt((1 + 2 * sigma[0]) ** 2 - 4 * sigma**2)
    wanted = c_dot * (np.fft.ifft(2 * shares(2, 8) * np.fft.fft(after)).real + 0.5 * after) + 0.09 * after
    assert_allclose(evaluated(layer.backward.rhs, 8, {SIGMA: sigma, BACK_NEXT: after}), wanted, atol=1e-13)


@pytest.mark.parametrize(("k", "kind"), [(0, "self-conjugate"), (1, "pair"), (3, "pair"), (4, "self-conjugate")])
def test_weight_gradients_are_those_of_differences(k, kind):
    """Of one channel, y = irfft(R rfft(h)) and the loss sum_a delta_a y_a, linear in Re and Im of R_k."""
    rng, n = np.random.default_rng(0), 8
    h, delta = rng.standard_normal((2, n))
    found = 0.0
    for unit in (1, 1j):
        weights = np.zeros(n // 2 + 1, complex)
        weights[k] = unit
        found += (delta @ np.fft.irfft(weights * np.fft.rfft(h), n)) ** 2
    layer = mf.fourier_map(mf.erf >> mf.Spectral(5))
    powers = {"P_H": np.abs(np.fft.fft(h)) ** 2, "P_delta": np.abs(np.fft.fft(delta)) ** 2}
    formula = layer.weight_gradient[kind].subs(N, n)
    values = {e: float(powers[e.base.name][k]) for e in formula.atoms(type(SIGMA[0]))}
    assert float(formula.subs(values)) == pytest.approx(found, rel=1e-12)
    other = layer.weight_gradient["pair" if kind == "self-conjugate" else "self-conjugate"].subs(N, n).subs(values)
    assert abs(float(other) / found - 1) > 0.5


def arcsine_series(x):
    return 2 / np.pi * (x + x**3 / 6)


@pytest.mark.parametrize(
    ("phi", "order", "series"),
    [
        ("x**2", 2, lambda s: s[0] ** 2 + 2 * s**2),
        ("x**3", 3, lambda s: 9 * s[0] ** 2 * s + 6 * s**3),
        ("erf", 3, lambda s: arcsine_series(2 * s / (1 + 2 * s[0]))),
        ("relu", 2, lambda s: s[0] / (2 * np.pi) + s / 4 + s**2 / (4 * np.pi * s[0])),
    ],
)  # fmt: skip
def test_the_hermite_series_is_that_of_the_dual(phi, order, series):
    n = 4
    sigma = 0.3 + 0.2 * np.cos(2 * np.pi * np.arange(n) / n) + 0.05 * np.cos(np.pi * np.arange(n))
    coupling = mf.fourier_map(mf.activation(phi) >> mf.Spectral(3)).hermite_coupling(order)
    function = lambdify((MODE, HAT_SIGMA, q), coupling.rhs.subs(N, n), "math")
    hat = np.fft.fft(sigma).real
    found = [function(k, hat, sigma[0]) for k in range(n)]
    assert_allclose(found, np.fft.fft(series(sigma)).real, atol=1e-14)
    lower = mf.fourier_map(mf.activation(phi) >> mf.Spectral(3)).hermite_coupling(order - 1)
    assert abs(lambdify((MODE, HAT_SIGMA, q), lower.rhs.subs(N, n), "math")(0, hat, sigma[0]) - found[0]) > 1e-4


def test_products_of_modes_fill_dropped_ones():
    coupling = mf.fourier_map(mf.activation("x**2") >> mf.Spectral(2)).hermite_coupling(2)
    function = lambdify((MODE, HAT_SIGMA, q), coupling.rhs.subs(N, 8), "math")
    hat = [1, 1, 0, 0, 0, 0, 0, 1]
    assert [function(k, hat, 0.375) != 0 for k in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize("order", [-1, True, 1.5])
def test_the_order_of_the_series_is_a_whole_number(order):
    with pytest.raises(ValueError, match="the order of a series is a whole number"):
        mf.fourier_map(mf.erf >> mf.Spectral(3)).hermite_coupling(order)


@pytest.mark.parametrize("name", ["relu", pytest.param("erf", marks=pytest.mark.slow)])
def test_the_jacobian_is_that_of_differences(name):
    layer, step = mf.fourier_map(getattr(mf, name) >> mf.Spectral(3)), 1e-6
    function = lambdify((LAG, OTHER, SIGMA), layer.jacobian.rhs, "numpy")
    for s in range(3):
        up, down = START + step * np.eye(16)[s], START - step * np.eye(16)[s]
        wanted = (dual(name, up) - dual(name, down)) / (2 * step)
        # ReLU has a kink at lag 0, where Sigma_0 stands on both sides
        assert_allclose([function(r, s, START) for r in range(1, 16)], wanted[1:], atol=1e-8)
    assert function(0, 0, START) == pytest.approx(
        {"erf": 4 / np.pi / ((1 + 2 * START[0]) * np.sqrt(1 + 4 * START[0])), "relu": 0.5}[name], abs=1e-13
    )


def test_the_vertex_of_relu_grows_by_five_at_a_uniform_state():
    """Var phi^2 = 5 q^2/4, and weight_var = 2 passes V on."""
    layer, n = mf.fourier_map(mf.relu >> mf.Spectral(2, 2, 0)), 4
    j = lambdify((LAG, OTHER, SIGMA), layer.jacobian.rhs, "numpy")
    state = np.full(n, 0.7)
    values = {
        KERNEL: 2 * np.fft.ifft(shares(2, n)).real,
        PHI: np.full((n, n), 5 * 0.7**2 / 4),
        J: np.array([[j(r, s, state) for s in range(n)] for r in range(n)]),
        V: np.full((n, n), 0.3),
    }
    function = lambdify((LAG, OTHER, *values), layer.vertex.rhs.subs(N, n), "numpy")
    assert function(0, 2, *values.values()) == pytest.approx(0.3 + 5 * 0.7**2, abs=1e-13)
    with pytest.raises(mf.NoRule, match="the vertex is that of phi >> Spectral alone"):
        _ = mf.fourier_map(mf.FourierBlock(2, "relu", skip=1)).vertex


@pytest.mark.parametrize(
    "block",
    [
        mf.FourierBlock(3, "erf", skip=0.5),
        mf.tanh >> mf.Spectral(3, spectrum=[1, 0.5, 0.25]),
        mf.relu >> mf.Spectral((12, 12), dc="complex", half_open=True),
    ],
)
def test_formulas_are_shown(block):
    layer = mf.fourier_map(block)
    text, tex = str(layer), layer.latex()
    assert text.splitlines()[0].startswith(str(block)) and text.isascii() and "Sigma'[r] = " in text
    assert tex.count("&=") == len(layer.equations) == len(text.splitlines()) - 1
    words = set(re.findall(r"[A-Za-z_]{3,}", re.sub(r"\\[A-Za-z]+", "", tex)))
    assert words <= {"aligned", "asin", "acos", "cases", "for", "otherwise"}
    assert layer._repr_latex_() == f"$\\displaystyle {tex}$" and tex.count("{") == tex.count("}")
    assert layer.update and all(isinstance(e, Eq) for e in layer.update)
    assert {BIAS_VAR, WEIGHT_VAR} <= layer.fixed_point.free_symbols
    assert isinstance(layer.symbols["K"], Expr) and layer.symbols["Sigma"] is SIGMA


@pytest.mark.parametrize(
    ("block", "error", "message"),
    [
        ("tanh", TypeError, "a block is a layer such as"),
        (mf.tanh >> mf.Dense(), mf.NoRule, "no layer of a Fourier neural operator"),
        (mf.tanh >> mf.Spectral(3, spectrum=[1, 2]), ValueError, "for each .k. that is kept, 3 of them"),
        (mf.tanh >> mf.Spectral(1, spectrum=[[1, 2]]), ValueError, "for each .k. that is kept, 1 of them"),
    ],
)
def test_other_blocks_are_refused(block, error, message):
    with pytest.raises(error, match=message):
        str(mf.fourier_map(block))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (mf.tanh >> mf.Spectral(3), r"mf\.fourier_map .* mf\.lag_covariance"),
        (mf.FourierBlock(3), r"mf\.fourier_map .* mf\.lag_covariance"),
        (mf.Attention() >> mf.Dense(), r"mf\.token_map .* mf\.attention_law"),
        (mf.TransformerBlock(8), r"mf\.token_map .* mf\.attention_law"),
        (mf.tanh >> mf.Conv(3), r"mf\.kernel .* mf\.spatial_covariance"),
    ],
)
def test_maps_of_one_pair_name_what_describes_all_positions(block, message):
    with pytest.raises(mf.NoRule, match=rf"mixes positions, .* {message}"):
        mf.derive(block)


def test_the_oracle_of_these_tests_is_a_mean_over_gaussians():
    """E erf(u) erf(v) by Monte Carlo of 4e5 pairs."""
    u, z = np.random.default_rng(0).standard_normal((2, 400_000))
    sample = np.mean(erf(u) * erf(0.5 * u + np.sqrt(0.75) * z))
    assert sample == pytest.approx(dual("erf", np.array([1.0, 0.5]))[1], abs=4 / np.sqrt(400_000))
