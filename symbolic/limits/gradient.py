"""The mean squared gradient through a block, from its output to its input: the part of the tangent linear in t.

Behind a block t' = own + factor * t, and factor is what E|dL/dx|^2 per neuron is multiplied by on the way back, under
the usual assumption that backward weights are independent of the forward pass (exact at infinite width, Yang 2020).
tanh >> Dense: factor = weight_var E phi'(u)^2 = chi_1.  Schoenholz et al. 2017 (arXiv 1611.01232).
"""

from sympy import Expr

from symbolic.gaussian import t
from symbolic.limits.nngp import Moments
from symbolic.limits.ntk import diagonal
from symbolic.networks import Layer


def factor(layer: Layer, s: Moments) -> Expr:
    return diagonal(layer, s, t).diff(t)
