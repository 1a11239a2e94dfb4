"""The scikit-learn kernel: the laws that scikit-learn asks of its own kernels, and its estimators at work."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import meanfield as mf
from meanfield.sklearn import InfiniteWidthKernel

X = np.random.default_rng(0).standard_normal((5, 2))
Y = np.random.default_rng(1).standard_normal((6, 2))
PLAIN = [
    InfiniteWidthKernel(),
    InfiniteWidthKernel("erf", depth=2, weight_var=1.5, bias_var=0.3),
    InfiniteWidthKernel(mf.relu, get="ntk"),
    InfiniteWidthKernel("gelu", depth=1, get="ntk", bias_var_bounds=(0.01, 1.0)),
    InfiniteWidthKernel("max(x, 0)", depth=0, weight_var=0.7, bias_var=0.2),
]
FIXED = [InfiniteWidthKernel(weight_var_bounds="fixed"), InfiniteWidthKernel(bias_var=0, depth=2)]
JOINED = [
    2.0 * InfiniteWidthKernel(depth=1) + WhiteKernel(0.5),
    ConstantKernel(0.5) * InfiniteWidthKernel("erf", get="ntk") * RBF(1.5),
    InfiniteWidthKernel(depth=1) ** 2,
]
EVERY = [*PLAIN, *FIXED, *JOINED]


@pytest.fixture(params=EVERY, ids=repr)
def kernel(request):
    return clone(request.param)


@pytest.fixture(params=PLAIN, ids=repr)
def plain(request):
    return clone(request.param)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_it_is_the_kernel_of_the_network(get):
    net = mf.Dense(1.5, 0.2) >> (mf.erf >> mf.Dense(1.5, 0.2)) ** 2
    kernel = InfiniteWidthKernel("erf", depth=2, weight_var=1.5, bias_var=0.2, get=get)
    assert kernel.network == net
    np.testing.assert_array_equal(kernel(X), mf.kernel(net, X, get=get))
    np.testing.assert_array_equal(kernel(X, Y), mf.kernel(net, X, Y, get=get))
    other = InfiniteWidthKernel("erf", depth=2, weight_var=1.65, bias_var=0.2, get=get)
    assert np.abs(other(X) - kernel(X)).max() > 1e-2


def test_the_gradient_is_that_of_finite_differences(kernel):
    value, gradient = kernel(X, eval_gradient=True)
    np.testing.assert_array_equal(value, kernel(X))
    assert gradient.shape == (5, 5, kernel.n_dims)
    for i, unit in enumerate(np.eye(kernel.n_dims)):
        above, below = (kernel.clone_with_theta(kernel.theta + s * 1e-5 * unit)(X) for s in (1, -1))
        np.testing.assert_allclose(gradient[..., i], (above - below) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_the_gradient_of_a_homogeneous_network_is_exact(get):
    """Without bias a ReLU kernel is weight_var ** (depth + 1) times one without units."""
    value, gradient = InfiniteWidthKernel(depth=20, bias_var=0, weight_var=1.7, get=get)(X, eval_gradient=True)
    np.testing.assert_allclose(gradient[..., 0], 21 * value, rtol=1e-9)
    assert not np.allclose(gradient[..., 0], 20 * value, rtol=1e-2)


def test_theta_is_the_logarithm_of_the_free_hyperparameters(plain):
    assert [h.name for h in plain.hyperparameters] == ["bias_var", "weight_var"]
    np.testing.assert_allclose(plain.theta, np.log([plain.bias_var, plain.weight_var]))
    np.testing.assert_allclose(plain.bounds, np.log([plain.bias_var_bounds, plain.weight_var_bounds]))
    plain.theta = np.log([0.25, 3.0])
    assert plain.bias_var == pytest.approx(0.25) and plain.weight_var == pytest.approx(3.0)
    plain.set_params(weight_var=1.25)
    np.testing.assert_allclose(plain.theta, np.log([0.25, 1.25]))


def test_a_fixed_hyperparameter_leaves_theta_and_gradient(plain):
    _, gradient = plain(X, eval_gradient=True)
    for i, name in enumerate(("bias_var", "weight_var")):
        fixed = clone(plain).set_params(**{f"{name}_bounds": "fixed"})
        assert fixed.theta == plain.theta[1 - i]
        np.testing.assert_array_equal(fixed(X, eval_gradient=True)[1][..., 0], gradient[..., 1 - i])
    plain.set_params(weight_var_bounds="fixed", bias_var_bounds="fixed")
    assert plain.n_dims == 0 and plain(X, eval_gradient=True)[1].shape == (5, 5, 0)


def test_no_bias_stays_no_bias():
    kernel = InfiniteWidthKernel(bias_var=0)
    np.testing.assert_allclose(kernel.theta, [np.log(2.0)])
    assert kernel.clone_with_theta([0.0]).bias_var == 0


def test_diagonal_and_cross_kernels_are_consistent(kernel):
    np.testing.assert_allclose(kernel.diag(X), np.diag(kernel(X)), rtol=1e-13)
    noise = 0.5 if kernel in JOINED[:1] else 0.0
    np.testing.assert_allclose(kernel(X) - noise * np.eye(5), kernel(X, X), rtol=1e-7)
    np.testing.assert_allclose(kernel(X, Y), kernel(Y, X).T, rtol=1e-12)
    assert np.linalg.eigvalsh(kernel(X))[0] > -1e-12


def test_it_serves_as_a_pairwise_kernel(plain):
    np.testing.assert_allclose(pairwise_kernels(X, metric=plain), plain(X), rtol=1e-7)
    np.testing.assert_allclose(pairwise_kernels(X, Y, metric=plain), plain(X, Y), rtol=1e-12)


def test_joining_commutes():
    k = InfiniteWidthKernel(depth=1)
    np.testing.assert_allclose((k + 1.0)(X), (1.0 + k)(X))
    np.testing.assert_allclose((k * 3.0)(X), (3.0 * k)(X))
    np.testing.assert_allclose((k + RBF())(X), k(X) + RBF()(X))


def test_copies_are_equal_and_independent(kernel):
    for copy in (clone(kernel), pickle.loads(pickle.dumps(kernel)), kernel.clone_with_theta(kernel.theta)):
        assert copy is not kernel and repr(copy) == repr(kernel)
        np.testing.assert_allclose(copy(X), kernel(X), rtol=1e-12)
    copy = clone(kernel)
    assert copy == kernel and copy.get_params() == kernel.get_params()
    copy.theta = copy.theta + 0.1
    assert copy != kernel


def test_parameters_go_in_and_out(plain):
    names = ["activation", "depth", "weight_var", "bias_var", "get", "weight_var_bounds", "bias_var_bounds"]
    assert list(plain.get_params()) == names
    changed = clone(plain).set_params(depth=4, activation="tanh", get="ntk", bias_var=0.5)
    assert clone(changed).get_params() == changed.get_params() and changed != plain
    assert eval(repr(changed)).get_params()["depth"] == 4
    assert repr(changed).endswith("bias_var=0.5, get='ntk')")
    assert not plain.is_stationary() and plain.requires_vector_input


def test_a_gaussian_process_finds_the_bias_that_made_the_data():
    """Maximum likelihood rises from a bad start, and the noise of the data is recovered within a factor of 2."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((80, 3))
    truth = InfiniteWidthKernel(depth=1, weight_var=1.5, bias_var=0.5)
    y = np.linalg.cholesky(truth(x) + 0.01 * np.eye(80)) @ rng.standard_normal(80)
    start = InfiniteWidthKernel(depth=1, weight_var=0.3, bias_var=0.01) + WhiteKernel(0.3)
    model = GaussianProcessRegressor(start, random_state=0).fit(x[:60], y[:60])
    assert model.log_marginal_likelihood_value_ > model.log_marginal_likelihood(start.theta) + 20
    assert model.log_marginal_likelihood_value_ > model.log_marginal_likelihood((truth + WhiteKernel(0.01)).theta)
    assert 0.005 < model.kernel_.k2.noise_level < 0.02
    mean, std = model.predict(x[60:], return_std=True)
    assert (np.abs(mean - y[60:]) < 4 * std).all()


def test_a_gaussian_process_agrees_with_predict():
    y, net = np.sin(X[:, 0]), InfiniteWidthKernel().network
    ours = mf.predict(net, X, y, Y, ridge=1e-3, cov=True)
    model = GaussianProcessRegressor(InfiniteWidthKernel(), alpha=ours.jitter, optimizer=None).fit(X, y)
    mean, cov = model.predict(Y, return_cov=True)
    np.testing.assert_allclose(ours.mean[:, 0], mean, rtol=1e-9)
    np.testing.assert_allclose(ours.cov, cov, rtol=1e-7, atol=1e-10)


def test_a_gaussian_process_classifies_and_is_tuned():
    x, labels = load_wine(return_X_y=True)
    kernel = InfiniteWidthKernel(depth=1, weight_var_bounds=(0.1, 1e4), bias_var_bounds="fixed")
    model = make_pipeline(StandardScaler(), GaussianProcessClassifier(kernel, max_iter_predict=20)).fit(
        x[::3], labels[::3]
    )
    assert model.score(np.delete(x, np.s_[::3], 0), np.delete(labels, np.s_[::3])) > 0.95
    assert all(k.weight_var != 2.0 for k in model[-1].kernel_.kernels)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_support_vectors_read_digits(get):
    x, labels = load_digits(return_X_y=True)
    x = (x - x.mean()) / x.std()
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    assert cross_val_score(SVC(kernel=InfiniteWidthKernel(get=get)), x, labels, cv=folds).min() > 0.95


def test_a_grid_search_walks_through_variances_and_depths():
    x, labels = load_wine(return_X_y=True)
    grid = {
        "svc__kernel__weight_var": [1.0, 2.0],
        "svc__kernel__bias_var": [0, 0.1],
        "svc__kernel__depth": np.arange(3),
    }
    model = make_pipeline(StandardScaler(), SVC(kernel=InfiniteWidthKernel()))
    search = GridSearchCV(model, grid, cv=3).fit(x, labels)
    assert search.best_score_ > 0.95 and len({*search.cv_results_["mean_test_score"]}) > 1
    assert search.best_estimator_[-1].kernel.depth == search.best_params_["svc__kernel__depth"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"get": "ntkk"}, ValueError, "get must be 'nngp' or 'ntk', not 'ntkk'"),
        ({"depth": -1}, ValueError, "depth must be at least 0, not -1"),
        ({"depth": 1.5}, TypeError, "depth must be a whole number, not 1.5"),
        ({"weight_var": -1.0}, ValueError, "weight_var"),
        ({"activation": "rellu"}, ValueError, "did you mean"),
    ],
)
@pytest.mark.parametrize("call", [lambda k: k(X), lambda k: k(X, eval_gradient=True), lambda k: k.diag(X)])
def test_refusals_wait_for_the_call(change, error, message, call):
    kernel = InfiniteWidthKernel().set_params(**change)
    with pytest.raises(error, match=message):
        call(kernel)


def test_a_gradient_between_two_sets_of_points_is_refused():
    with pytest.raises(ValueError, match="leave Y out"):
        InfiniteWidthKernel()(X, Y, eval_gradient=True)
