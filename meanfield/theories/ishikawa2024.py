"""Ishikawa, Karakida 2024, On the parameterization of second-order optimization effective towards the infinite width,
arXiv 2312.12226.

K-FAC (B + rho_B)^-1 G (A + rho_A)^-1 has one learning rate for all widths and layers if rho_A ~ n^i, rho_B ~ n^-1 below
the readout; Shampoo (1/4, 1/4) has n^1/2, 1, n^-1/2. Constant dampings let own_l fall as n^-1 below the readout, the
pi-heuristic (rho_A ~ n also at the input) freezes the input layer as n^-1. Learning rates and dampings as in the
authors' public code, read; the paper's body was not. The slopes under other dampings are derived here.
"""

from meanfield.growth import TrainedCase, Training, derive, sample, solve
from meanfield.theory import Theory

HEAVY = 1.0  # a damping that already outweighs what it is added to at these widths

MATCHED = Training("kfac")
CONSTANT = Training("kfac", damping="constant", damping_size=HEAVY)
PI = Training("kfac", damping="pi", damping_size=HEAVY)

THEORY = Theory(
    name="ishikawa2024",
    title="Second-order optimizers at infinite width",
    cite="arXiv 2312.12226; learning rates and dampings from its code, slopes derived here",
    claim="K-FAC needs no power of the width but in its dampings, Shampoo n^(1/2), 1, n^(-1/2), to move all layers.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={
        "K-FAC": TrainedCase(MATCHED, CONSTANT),
        "K-FAC with the pi-heuristic": TrainedCase(PI, MATCHED),
        "Shampoo": TrainedCase(Training("shampoo"), Training("shampoo", "ntk")),
    },
    widths=(16, 64),
)
