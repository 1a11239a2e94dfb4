"""Yang, Hu 2021, Tensor Programs IV: Feature learning in infinite-width neural networks, arXiv 2011.14522.

abc-parametrizations: multipliers n^-a_l, weights n^-b_l, one SGD rate n^-c. A stable, nontrivial one learns features,
r = 0, or trains by a kernel, r > 0, features moving by n^-r, never both: r = min(a_D + b_D, 2 a_D + c) + c - 1 +
min_(l < D) [2 a_l + 1(l = 1)]. Theorem second-hand (a reading note), r derived here: tests compare the formula with
the calculus that predicts (symbolic.scaling). Twins: the other side of the dichotomy, and standard at a rate n^-1.
"""

from sympy import Rational

from meanfield.growth import MANY, Point, TrainedCase, Training, derive, sample, solve
from meanfield.theory import Theory

_HALF = Rational(1, 2)
_ONCE = (_HALF,) * 3

MAXIMAL_UPDATE = Point("sgd", a=(-_HALF, 0, _HALF), b=_ONCE)  # their Definition 5.1
TANGENT = Training("sgd", "ntk", gauge="unit")
STANDARD = Point("sgd", b=(0, _HALF, _HALF), c=(1, 1, 1))

THEORY = Theory(
    name="yang2021",
    title="The dichotomy of abc-parametrizations",
    cite="arXiv 2011.14522; theorem second-hand, exponents derived here",
    claim="A stable, nontrivial (a, b, c) moves f by Theta(1) and features by n^-r: r = 0, or a kernel trains it.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={
        "maximal update, r = 0": TrainedCase(MAXIMAL_UPDATE, STANDARD),
        "tangent kernel, r = 1/2": TrainedCase(TANGENT, MAXIMAL_UPDATE, task=MANY),
    },
    widths=(16, 64),
)
