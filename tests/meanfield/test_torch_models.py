"""GPyTorch's models with the kernel of an infinitely wide network, beside scikit-learn's and mf.predict."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

import meanfield as mf

gpytorch = pytest.importorskip("gpytorch")
import torch  # noqa: E402

import meanfield.sklearn  # noqa: E402
from meanfield.torch import InfiniteWidthKernel  # noqa: E402


def double(*args, **kwargs):
    return InfiniteWidthKernel(*args, **kwargs).double()


class Process(gpytorch.models.ExactGP):
    """A Gaussian process of mean zero in double precision, with noise."""

    def __init__(self, x, y, covariance, noise):
        likelihood = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=gpytorch.constraints.GreaterThan(1e-6))
        super().__init__(x, y, likelihood)
        self.mean_module, self.covar_module = gpytorch.means.ZeroMean(), covariance
        self.double()
        self.likelihood.initialize(noise=noise)

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    def likelihood_of_data(self):
        """The logarithm of the marginal likelihood."""
        self.train()
        marginal = gpytorch.mlls.ExactMarginalLogLikelihood(self.likelihood, self)
        return marginal(self(*self.train_inputs), self.train_targets) * self.train_targets.shape[-1]

    def fit(self, steps):
        optimizer = torch.optim.LBFGS(self.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

        def loss():
            optimizer.zero_grad()
            value = -self.likelihood_of_data()
            value.backward()
            return value

        optimizer.step(loss)
        return self.likelihood_of_data().item()


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((40, 3))
    net = mf.Dense(1.5, 0.5) >> mf.relu >> mf.Dense(1.5, 0.5)
    y = np.linalg.cholesky(mf.kernel(net, x) + 0.05 * np.eye(40)) @ rng.standard_normal(40)
    return x, y


def test_training_finds_the_optimum_of_scikit_learn(problem):
    x, y = problem
    start = meanfield.sklearn.InfiniteWidthKernel(depth=1, weight_var=0.8, bias_var=0.1) + WhiteKernel(0.2)
    theirs = GaussianProcessRegressor(start, alpha=0.0).fit(x, y)
    ours = Process(*map(torch.from_numpy, problem), double(depth=1, weight_var=0.8, bias_var=0.1), 0.2)
    before = ours.likelihood_of_data().item()
    assert before == pytest.approx(theirs.log_marginal_likelihood(start.theta), rel=1e-6)
    after = ours.fit(100)
    assert after > before + 5
    assert after == pytest.approx(theirs.log_marginal_likelihood_value_, abs=1e-4)
    found, best = ours.covar_module, theirs.kernel_
    assert found.weight_var.item() == pytest.approx(best.k1.weight_var, rel=1e-2)
    assert found.bias_var.item() == pytest.approx(best.k1.bias_var, rel=1e-2)
    assert ours.likelihood.noise.item() == pytest.approx(best.k2.noise_level, rel=1e-2)
    assert after > Process(*map(torch.from_numpy, problem), double(depth=6), 0.2).fit(100) + 1e-2


@pytest.mark.parametrize("direct", [True, False])
def test_a_posterior_agrees_with_predict(problem, direct):
    x, y = problem
    kernel = double("erf", depth=2)
    expected = mf.predict(kernel.network, x[:30], y[:30], x[30:], ridge=1e-2, cov=True)
    model = Process(*(torch.from_numpy(v[:30]) for v in problem), kernel, expected.jitter).eval()
    # Conjugate gradients are what GPyTorch does with many points.
    largest, tolerance = (
        gpytorch.settings.max_cholesky_size(800 if direct else 1),
        gpytorch.settings.cg_tolerance(1e-5),
    )
    with largest, tolerance, gpytorch.settings.eval_cg_tolerance(1e-5):
        found = model(torch.from_numpy(x[30:]))
        mean, cov = found.mean.detach().numpy(), found.covariance_matrix.detach().numpy()
    np.testing.assert_allclose(mean, expected.mean[:, 0], rtol=1e-6 if direct else 1e-3, atol=1e-8)
    if direct:
        np.testing.assert_allclose(cov, expected.cov, rtol=1e-6, atol=1e-9)
    assert not np.allclose(mean, mf.predict(kernel.network, x[:30], y[:30], x[30:], ridge=1e-1)[:, 0], rtol=1e-3)


def test_a_batch_of_processes_is_trained_at_once(problem):
    x, y = (torch.from_numpy(v) for v in problem)
    kernel = double(depth=1, batch_shape=[2])
    both = Process(x[:20].expand(2, 20, 3), torch.stack([y[:20], -2 * y[:20]]), kernel, 0.1)
    value = both.likelihood_of_data()
    value.sum().backward()
    alone = Process(x[:20], y[:20], double(depth=1), 0.1)
    single = alone.likelihood_of_data()
    single.backward()
    np.testing.assert_allclose(value[0].item(), single.item(), rtol=1e-9)
    np.testing.assert_allclose(kernel.raw_weight_var.grad[0], alone.covar_module.raw_weight_var.grad, rtol=1e-8)
    assert both.eval()(x[20:]).mean.shape == (2, 20)
