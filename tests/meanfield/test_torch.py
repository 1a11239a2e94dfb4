"""The GPyTorch kernel: the protocol that GPyTorch asks of a kernel, and its gradients."""

import copy
import pickle

import numpy as np
import pytest

import meanfield as mf
from meanfield.slopes import slope, uniform

gpytorch = pytest.importorskip("gpytorch")
import torch  # noqa: E402
from torch.autograd.gradcheck import GradcheckError  # noqa: E402

import meanfield.sklearn  # noqa: E402
import meanfield.torch.kernels  # noqa: E402
from meanfield.torch import InfiniteWidthKernel  # noqa: E402

RNG = np.random.default_rng(0)
X, Y = torch.from_numpy(RNG.standard_normal((5, 2))), torch.from_numpy(RNG.standard_normal((6, 2)))
DEEP = mf.Dense(1.5, 0.2) >> (mf.Identity() + 0.5 * (mf.erf >> mf.Dense(1.2, 0.1))) ** 2


def double(*args, **kwargs):
    return InfiniteWidthKernel(*args, **kwargs).double()


def dense(kernel, *x, **params):
    return kernel(*x, **params).to_dense().detach().numpy()


KERNELS = [
    double(),
    double("erf", depth=2, weight_var=1.5, bias_var=0.3),
    double(mf.relu, get="ntk"),
    double("Max(x, 0)", depth=0, weight_var=0.7, bias_var=0.2),
    double("gelu", depth=1, bias_var=0),
]


@pytest.fixture(params=KERNELS, ids=lambda k: f"{k.network} {k.get}")
def kernel(request):
    return copy.deepcopy(request.param)


def test_it_is_the_kernel_of_the_network(kernel):
    net, get = kernel.network, kernel.get
    np.testing.assert_array_equal(dense(kernel, X), mf.kernel(net, X.numpy(), get=get))
    np.testing.assert_array_equal(dense(kernel, X, Y), mf.kernel(net, X.numpy(), Y.numpy(), get=get))
    before = dense(kernel, X)
    kernel.depth += 1
    assert np.abs(dense(kernel, X) - before).max() > 1e-2


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_any_network_can_be_fixed(get):
    kernel = InfiniteWidthKernel(network=DEEP, get=get)
    assert not list(kernel.parameters()) and kernel.network is DEEP
    np.testing.assert_array_equal(dense(kernel, X, Y), mf.kernel(DEEP, X.numpy(), Y.numpy(), get=get))
    scaled = gpytorch.kernels.ScaleKernel(kernel).double()
    scaled(X).to_dense().sum().backward()
    slope_of_softplus = torch.sigmoid(scaled.raw_outputscale.detach())
    np.testing.assert_allclose(scaled.raw_outputscale.grad, dense(kernel, X).sum() * slope_of_softplus, rtol=1e-12)


def test_variances_start_where_they_are_put():
    for name, start in (("weight_var", 2.0), ("bias_var", 0.1)):
        assert getattr(InfiniteWidthKernel(), name).item() == pytest.approx(start, rel=1e-6)
        kernel = InfiniteWidthKernel(**{name: 0.7})
        assert getattr(kernel, name).item() == pytest.approx(0.7, rel=1e-6)
        assert getattr(kernel.initialize(**{name: 0.3}), name).item() == pytest.approx(0.3, rel=1e-6)
        bounded = gpytorch.constraints.Interval(0.01, 5.0, initial_value=0.5)
        kernel = InfiniteWidthKernel(**{f"{name}_constraint": bounded})
        assert getattr(kernel, name).item() == pytest.approx(0.5, rel=1e-6)


def test_a_prior_is_one_on_the_variance():
    prior = gpytorch.priors.GammaPrior(2.0, 3.0)
    kernel = InfiniteWidthKernel(weight_var_prior=prior)
    [(name, module, prior, value, assign)] = kernel.named_priors()
    assert name == "weight_var_prior" and value(module) == kernel.weight_var
    assign(module, torch.tensor(0.4))
    assert kernel.weight_var.item() == pytest.approx(0.4)
    assert pickle.loads(pickle.dumps(kernel)).weight_var == kernel.weight_var


def function_of(kernel):
    """Entries and diagonal as functions of the raw parameters."""
    names = [name for name, _ in kernel.named_parameters()]

    def entries(*raw):
        with gpytorch.settings.lazily_evaluate_kernels(False):
            values = [
                torch.func.functional_call(kernel, dict(zip(names, raw, strict=True)), x, {"diag": diag})
                for x, diag in (((X,), False), ((X[:3], Y), False), ((X,), True))
            ]
        return tuple(v if torch.is_tensor(v) else v.to_dense() for v in values)

    return entries, tuple(p.detach().clone().requires_grad_() for p in kernel.parameters())


def test_gradients_are_those_of_finite_differences(kernel):
    if kernel.bias_var == 0:
        kernel.raw_bias_var.requires_grad_(False)
        kernel.initialize(bias_var=0.2)
    entries, raw = function_of(kernel)
    assert torch.autograd.gradcheck(entries, raw, eps=1e-4, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("wrong", [-1, 0.999, 1.001])
def test_a_wrong_gradient_is_noticed(monkeypatch, wrong):
    monkeypatch.setattr(meanfield.torch.kernels, "slope", lambda at, depth: wrong * slope(at, depth))
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(*function_of(double(depth=2)), eps=1e-4, atol=1e-6, rtol=1e-5)


def test_gradients_are_those_of_scikit_learn():
    ours = double("erf", 2, 1.5, 0.3, get="ntk")
    theirs = meanfield.sklearn.InfiniteWidthKernel("erf", 2, ours.weight_var.item(), ours.bias_var.item(), get="ntk")
    _, gradient = theirs(X.numpy(), eval_gradient=True)
    outer = torch.from_numpy(RNG.standard_normal((5, 5)))
    (ours(X).to_dense() * outer).sum().backward()
    for place, name in enumerate(("bias_var", "weight_var")):
        raw, value = getattr(ours, f"raw_{name}"), getattr(ours, name).item()
        expected = (outer.numpy() * gradient[..., place]).sum() / value * torch.sigmoid(raw.detach())
        np.testing.assert_allclose(raw.grad, expected, rtol=1e-9)


def test_no_bias_stays_no_bias():
    kernel = double(depth=4, bias_var=0, weight_var=1.7)
    value = kernel(X).to_dense()
    value.sum().backward()
    assert kernel.bias_var == 0 and kernel.raw_bias_var.grad == 0
    # Without bias a ReLU kernel is weight_var ** (depth + 1) times one without units.
    slope_of_softplus = torch.sigmoid(kernel.raw_weight_var.detach())
    expected = 5 * value.detach().sum() / kernel.weight_var.detach() * slope_of_softplus
    np.testing.assert_allclose(kernel.raw_weight_var.grad, expected, rtol=1e-9)


def test_a_second_derivative_is_refused():
    kernel = double(depth=1)
    for function in (torch.sum, lambda k: (k**2).sum()):
        (first,) = torch.autograd.grad(function(kernel(X).to_dense()), kernel.raw_weight_var, create_graph=True)
        assert torch.isfinite(first)
        with pytest.raises(ValueError, match="first derivatives only"):
            first.backward()


@pytest.mark.parametrize("make", [lambda: double(depth=1, get="ntk"), lambda: InfiniteWidthKernel(network=DEEP)])
def test_a_batch_of_inputs_is_a_kernel_for_each(make):
    kernel, x = make(), torch.stack([Y, 2 * Y, Y - 1]).reshape(3, 1, 6, 2)
    found = dense(kernel, x, X)
    assert found.shape == (3, 1, 6, 5)
    for i in range(3):
        np.testing.assert_array_equal(found[i, 0], dense(kernel, x[i, 0], X))
    assert not np.allclose(found[0], found[1])
    assert kernel(x, diag=True).shape == (3, 1, 6) and kernel(x)[1].shape == (1, 6, 6)


def test_a_batch_of_hyperparameters_is_a_kernel_for_each():
    kernel = double(depth=1, weight_var=torch.tensor([1.0, 2.0]), batch_shape=[2])
    x = torch.stack([X, X + 1])
    kernel(x).to_dense()[0].sum().backward()
    assert kernel.raw_weight_var.grad[0] != 0 and kernel.raw_weight_var.grad[1] == 0
    for i in range(2):
        alone = double(depth=1, weight_var=float(i + 1))
        np.testing.assert_allclose(dense(kernel, X)[i], dense(alone, X), rtol=1e-6)
        np.testing.assert_allclose(dense(kernel, x)[i], dense(alone, x[i]), rtol=1e-6)
        np.testing.assert_array_equal(dense(kernel[i], x[i]), dense(kernel, x)[i])
        assert kernel[i].network == uniform("relu", 1, kernel.weight_var[i].item(), kernel.bias_var[i].item())
    with pytest.raises(ValueError, match="index it first"):
        _ = kernel.network


def test_each_feature_can_be_a_batch():
    kernel = double(depth=1, weight_var=torch.tensor([1.0, 2.0]), batch_shape=[2])
    found = kernel.forward(X, Y, last_dim_is_batch=True).detach()
    assert found.shape == (2, 2, 5, 6)
    for feature in range(2):
        np.testing.assert_array_equal(found[:, feature], dense(kernel, X[:, [feature]], Y[:, [feature]]))
    assert kernel.forward(X, X, diag=True, last_dim_is_batch=True).shape == (2, 2, 5)


def test_the_diagonal_is_that_of_the_kernel(kernel):
    np.testing.assert_array_equal(kernel(X, diag=True).detach(), np.diag(dense(kernel, X)))
    np.testing.assert_array_equal(kernel(X, Y[:5], diag=True).detach(), np.diag(dense(kernel, X, Y[:5])))
    np.testing.assert_array_equal(kernel(X).diagonal(dim1=-1, dim2=-2).detach(), np.diag(dense(kernel, X)))
    assert not np.allclose(kernel(X, diag=True).detach(), kernel(Y[:5], diag=True).detach())


def test_equal_points_are_one_set():
    """Which is what keeps a kernel matrix symmetric, and the mask of dropout in one point with itself."""
    net = mf.Dense(2, 0.1) >> mf.relu >> mf.Dropout(0.5) >> mf.Dense(2, 0.1)
    kernel = InfiniteWidthKernel(network=net)
    np.testing.assert_array_equal(dense(kernel, X, X.clone()), mf.kernel(net, X.numpy()))
    assert np.abs(dense(kernel, X, X + 1e-12) - dense(kernel, X)).max() > 0.1


def test_active_dims_choose_features():
    kernel = InfiniteWidthKernel(network=DEEP, active_dims=(1,))
    np.testing.assert_array_equal(dense(kernel, X, Y), mf.kernel(DEEP, X[:, 1:].numpy(), Y[:, 1:].numpy()))


def test_numbers_are_computed_in_float64_and_come_in_the_type_of_the_points():
    kernel = double(depth=2)
    found = kernel.forward(X.float(), Y.float())
    assert found.dtype == torch.float32 and found.device == X.device
    np.testing.assert_array_equal(found.detach(), dense(kernel, X.float().double(), Y.float().double()).astype("f4"))
    assert kernel.forward(X, X, diag=True).dtype == torch.float64
    with pytest.raises(ValueError, match="dtype must be float64 or float32, not 'float16'"):
        kernel.forward(X.half(), X.half())
    with pytest.raises(mf.NotConverged, match=r"not finite.*float32"):
        kernel.forward(1e25 * X.float(), X.float() * 1e25)


def test_gradients_of_single_precision_do_not_cancel():
    single, twice = InfiniteWidthKernel(depth=2), InfiniteWidthKernel(depth=2)
    single(X.float()).to_dense().sum().backward()
    twice(X.float().double()).to_dense().sum().backward()
    np.testing.assert_allclose(single.raw_bias_var.grad, twice.raw_bias_var.grad, rtol=1e-6)


def test_a_gradient_in_the_inputs_is_refused():
    kernel, x = double(depth=1), X.clone().requires_grad_()
    for call in (lambda: kernel(x).to_dense(), lambda: kernel(X, x).to_dense(), lambda: kernel(x, diag=True)):
        with pytest.raises(ValueError, match=r"no gradient in its inputs, but x requires one: give x.detach\(\)"):
            call()
    with torch.no_grad():
        np.testing.assert_array_equal(dense(kernel, x), dense(kernel, X))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"get": "ntkk"}, ValueError, "get must be 'nngp' or 'ntk', not 'ntkk'"),
        ({"depth": -1}, ValueError, "depth must be at least 0, not -1"),
        ({"depth": 1.5}, TypeError, "depth must be a whole number, not 1.5"),
        ({"weight_var": -1.0}, ValueError, "weight_var"),
        ({"bias_var": float("nan")}, ValueError, "bias_var"),
        ({"activation": "rellu"}, ValueError, "did you mean"),
        ({"bias_var_prior": 3.0}, TypeError, "bias_var_prior must be a gpytorch.priors.Prior, not float"),
        ({"network": DEEP, "weight_var": 2.0}, ValueError, "network= has its own layers and numbers"),
        ({"network": DEEP, "depth": 3}, ValueError, "network= has its own layers and numbers"),
        ({"network": mf.relu >> mf.Dense(2, 0)}, ValueError, "put a Dense layer first"),
        ({"network": "relu"}, TypeError, "not of 'relu'"),
        ({"network": mf.Conv(3, padding="SAME") >> mf.Flatten() >> mf.Dense(2, 0)}, ValueError, "layers for pictures"),
    ],
)
def test_wrong_numbers_are_refused_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        InfiniteWidthKernel(**arguments)


def test_wrong_points_are_refused():
    kernel, bad = double(depth=1), X.clone()
    bad[2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"x1\[2, 1\] is nan"):
        kernel(bad).to_dense()
    with pytest.raises(ValueError, match="as many points in x1 as in x2, not 5 and 6"):
        kernel.forward(X, Y, diag=True)
    with pytest.raises(ValueError, match="number of features"):
        kernel.forward(X, Y[:, :1])
    with pytest.raises(ValueError, match="has no value"):
        InfiniteWidthKernel(network=mf.Dense() >> mf.relu >> mf.Dense())(X).to_dense()
