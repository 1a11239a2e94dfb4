"""Yang, Hu et al. 2022, Tensor Programs V: Tuning large neural networks via zero-shot hyperparameter transfer, arXiv
2203.03466.

Tables 3, 8 and 9 write one parametrization in three gauges: with Adam, weights n^-1/2, hidden and output learning
rates n^-1, a readout of n^-1 either in its variance or in its multiplier. Every update then moves what its layer gives
by Theta(1), and features move the output by Theta(1). Tables 3 and 9 are second-hand, 8 from the `mup` package's code;
their exponents are derived (symbolic.scaling). Twin: standard parametrization. Attention is not drawn here.
"""

from meanfield.growth import TrainedCase, Training, derive, sample, solve
from meanfield.theory import Theory

THEORY = Theory(
    name="yang2022",
    title="Tables of the maximal-update parametrization",
    cite="arXiv 2203.03466; tables second-hand, exponents derived here",
    claim="Adam: learning rates n^0, n^-1, n^-1 on a readout of n^-1 (any gauge) move every layer by Theta(1).",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={"Adam, table 8": TrainedCase(Training("adam", gauge="table8"), Training("adam", "standard"))},
    widths=(16, 64),
)
