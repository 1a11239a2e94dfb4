"""The networks of fourier_oracle.py, written with the layers of the library."""

import meanfield as mf

MAKE = {
    "spectral": lambda kept, w, b: mf.Spectral(kept, w, b),
    "complex": lambda kept, w, b: mf.Spectral(kept, w, b, dc="complex"),
    "point": lambda w, b: mf.Conv(1, weight_var=w, bias_var=b),
    "relu": lambda: mf.relu,
    "block": lambda kept, w, point, b, skip: mf.FourierBlock(
        kept, "relu", weight_var=w, pointwise_var=point, bias_var=b, skip=skip
    ),
    "mean": mf.GlobalAvgPool,
    "flat": mf.Flatten,
}


def network(spec):
    first, *others = [MAKE[name](*numbers) for name, *numbers in spec]
    for layer in others:
        first = first >> layer
    return first
