"""One step of a real residual stack of tanh branches, set up by hand; no code of the theory.

h^(l+1) = h^l + L^-alpha W_k tanh(.. W_1 tanh(h^l)), 4 inputs, dl/df = +-1, an output of weights 1/n.
"""

import numpy as np

DEPTHS = (8, 16, 32, 64)


def sizes(depth, k, alpha, name, rate, seed, n=64, d=8, m=4):
    """Sizes of what drawn branches add to the stream, of dW x, of the change of the stream."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((d, m))
    top = rng.choice([-1.0, 1.0], m) * rng.standard_normal((n, 1)) / n
    h0 = rng.standard_normal((n, d)) / np.sqrt(d) @ X
    W = rng.standard_normal((depth, k, n, n)) / np.sqrt(n)
    h, x = forward(W, h0, alpha)
    change = -rate * update(name, x, backward(W, x, top, alpha), alpha)
    moved, _ = forward(W + change, h0, alpha)
    return rms(h - h0), rms(change @ x), rms(moved - h)


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def forward(W, h, alpha):
    depth, k = W.shape[:2]
    x = np.empty((depth, k, *h.shape))
    for block in range(depth):
        z = h
        for j in range(k):
            x[block, j] = np.tanh(z)
            z = W[block, j] @ x[block, j]
        h = h + depth**-alpha * z
    return h, x


def backward(W, x, delta, alpha):
    """dl/dh of what each matrix gives."""
    depth, k = W.shape[:2]
    found = np.empty_like(x)
    for block in reversed(range(depth)):
        back = depth**-alpha * delta
        for j in reversed(range(k)):
            found[block, j] = back
            back = (W[block, j].T @ back) * (1 - x[block, j] ** 2)
        delta = delta + back
    return found


def update(name, x, e, alpha):
    g = e @ np.swapaxes(x, -1, -2)
    if name == "adam":
        return np.sign(g) / g.shape[-1]
    if name == "muon":
        return singular(g, 0)
    if name == "shampoo":  # both Grams to the power -1/8; the width has its own factor n^(1/2) in g
        return singular(g, 0.5)
    return kfac(x, e, len(g) ** (-2 * alpha)) if name == "kfac" else g


def singular(g, power):
    """The singular values of g to a power, on the span of g."""
    left, size, right = np.linalg.svd(g, full_matrices=False)
    powers = np.where(size > 1e-9 * size[..., :1], size**power, 0)
    return left @ (right * powers[..., None])


def kfac(x, e, shrink):
    """(B + rho_B)^-1 g (A + rho_A)^-1 with A = x x^T, B = e e^T, dampings of the size of their eigenvalues."""
    n = x.shape[-2]
    A = x @ np.swapaxes(x, -1, -2) + n * np.eye(n)
    B = e @ np.swapaxes(e, -1, -2) + shrink / n * np.eye(n)
    return np.linalg.solve(B, e @ np.swapaxes(np.linalg.solve(A, x), -1, -2))


def slopes(k, alpha, name, exponent, seeds=8, rate=0.01):
    """Log-log slopes in depth of the three sizes, with the learning rate rate L^exponent."""
    rows = [
        np.mean([np.log(sizes(L, k, alpha, name, rate * L**exponent, s)) for s in range(seeds)], axis=0) for L in DEPTHS
    ]
    return np.polyfit(np.log(DEPTHS), rows, 1)[0]
