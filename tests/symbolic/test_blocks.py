"""Blocks from text: every spelling gives the layer that Python itself would build, and nothing else is let in."""

import pytest
from sympy import Rational

from symbolic.activations import ACTIVATIONS, activation
from symbolic.attention import Attention
from symbolic.blocks import EXAMPLE, MAX_LAYERS, depth, parse_block
from symbolic.fourier import Spectral
from symbolic.fourier_block import FourierBlock
from symbolic.networks import BIAS_VAR, Dense, Dropout, Identity, LayerNorm, RMSNorm
from symbolic.parse import ParseError
from symbolic.pictures import AvgPool, Conv, Flatten, GlobalAvgPool
from symbolic.sequences import PositionalEncoding
from symbolic.signals import NoRule
from symbolic.transformers import TransformerBlock

relu, tanh, gelu = (ACTIVATIONS[name] for name in ("relu", "tanh", "gelu"))

SPELLINGS = {
    "tanh >> Dense(weight_var=1.5, bias_var=0.05)": tanh >> Dense(1.5, 0.05),
    "  tanh>>Dense(1.5,0.05)  ": tanh >> Dense(1.5, 0.05),
    "Dense(1.5, 0.05) >> (relu >> Dense(2, 0)) ** 3": Dense(1.5, 0.05) >> (relu >> Dense(2, 0)) ** 3,
    "relu >> Dense(2, 0) ** 3": relu >> Dense(2, 0) ** 3,
    "Identity() + 0.5 * (gelu >> Dense(2, 0))": Identity() + 0.5 * (gelu >> Dense(2, 0)),
    "Identity() + (gelu >> Dense(2, 0)) * 0.5": Identity() + 0.5 * (gelu >> Dense(2, 0)),
    "Identity() + -0.5 * (gelu >> Dense(2, 0))": Identity() + -0.5 * (gelu >> Dense(2, 0)),
    "relu >> Dropout(0.9) >> Dense(1.7, 0.05)": relu >> Dropout(0.9) >> Dense(1.7, 0.05),
    "LayerNorm() >> tanh >> RMSNorm() >> Dense()": LayerNorm() >> tanh >> RMSNorm() >> Dense(),
    "tanh >> Dense(2)": tanh >> Dense(2),
    "'x*sigmoid(1.702*x)' >> Dense(2,0)": activation("x*sigmoid(1.702*x)") >> Dense(2, 0),
    '"tanh" >> Dense(1, 0)': tanh >> Dense(1, 0),
    "((tanh))": tanh,
    "relu >> Spectral(modes=12)": relu >> Spectral(12),
    "relu >> Spectral((12, 13), 2, 0, dc='complex', half_open=True)": (
        relu >> Spectral((12, 13), 2, 0, "complex", half_open=True)
    ),
    "tanh >> Spectral(2, 1, 0, spectrum=[1, 0.5])": tanh >> Spectral(2, 1, 0, spectrum=[1, 0.5]),
    "tanh >> Spectral([2, 2], 1, 0, spectrum=[[1, 0.5], [0.5, 0]])": (
        tanh >> Spectral((2, 2), 1, 0, spectrum=((1, 0.5), (0.5, 0)))
    ),
    "FourierBlock(12, gelu, weight_var=1, pointwise_var=1, bias_var=0, skip=0.5)": FourierBlock(
        12, gelu, weight_var=1, pointwise_var=1, bias_var=0, skip=0.5
    ),
    "FourierBlock(12, 'x*tanh(x)', weight_var=1)": FourierBlock(12, "x*tanh(x)", weight_var=1),
    "Conv(3, strides=(2, 1), padding='VALID', weight_var=2, bias_var=0) >> relu >> AvgPool(2, padding='SAME')": (
        Conv(3, (2, 1), "VALID", 2, 0) >> relu >> AvgPool(2, padding="SAME")
    ),
    "Conv(filter_shape=3, strides=1, padding=SAME, weight_var=2, bias_var=0)": Conv(3, 1, "SAME", 2, 0),  # as printed
    "Conv(3) >> relu >> GlobalAvgPool() >> Dense(1, 0)": Conv(3) >> relu >> GlobalAvgPool() >> Dense(1, 0),
    "Conv(3) >> relu >> Flatten() >> Dense(1, 0)": Conv(3) >> relu >> Flatten() >> Dense(1, 0),
    "Dense(1, 0) >> PositionalEncoding(0.5, length=3) >> Attention(mask='causal')": (
        Dense(1, 0) >> PositionalEncoding(0.5, 3) >> Attention(mask="causal")
    ),
    "Attention(heads=inf, scale='1/d', tied=True)": Attention(scale="1/d", tied=True),
    "Attention(4, score=relu, mask=None)": Attention(4, score="relu"),
    "TransformerBlock(64, tanh, norm='post')": TransformerBlock(64, "tanh", norm="post"),
    "TransformerBlock(tokens=8, phi=None, norm=None)": TransformerBlock(8, None, norm=None),
}


@pytest.mark.parametrize("text", SPELLINGS)
def test_text_builds_what_python_builds(text):
    assert parse_block(text) == SPELLINGS[text]


def test_decimals_are_exact_and_what_is_left_out_stays_a_symbol():
    layer = parse_block("Dense(0.1)")
    assert layer.weight_var == Rational(1, 10)
    assert layer.bias_var == BIAS_VAR


REFUSED = {
    "": (1, "empty"),
    "__import__('os')": (1, "__import__ is not a layer"),
    "__import__('os').system('true')": (1, "only layers are called"),
    "().__class__": (1, "attributes"),
    "(" * 10_000 + "relu" + ")" * 10_000: (2001, "at most 2000 characters"),
    "(" * 60 + "relu" + ")" * 60: (51, "nest at most 50 deep"),
    "[relu]": (1, "only layers"),
    "relu if 1 else tanh": (1, "only layers"),
    "lambda: relu": (1, "lambda"),
    "f'x'": (1, "only layers"),
    "'x' 'x'": (1, "one pair of quotes"),
    "'x*sigmod(x)' >> Dense()": (4, "sigmod is not known"),
    "tanh >> rellu": (9, "did you mean relu"),
    "tanh >> dense(1, 0)": (9, "did you mean Dense"),
    "tanh >> Dense": (9, "wants parentheses"),
    "tanh(x)": (1, "tanh is an activation"),
    "tanh >> Dense(-1, 0)": (9, "greater than 0, not -1"),
    "tanh >> Dense(1, -0.5)": (9, "at least 0, not -1/2"),
    "tanh >> Dense(1, 2, 3)": (9, "weight_var and bias_var"),
    "tanh >> Dense(1, weight_var=2)": (9, "weight_var and bias_var"),
    "tanh >> Dense(gain=1)": (9, "weight_var and bias_var"),
    "tanh >> Dense(**{})": (9, "weight_var and bias_var"),
    "tanh >> Dense(*relu)": (15, "only layers"),
    "tanh >> Dense(relu)": (9, "not layers"),
    "tanh >> Dense(True)": (15, "only layers"),
    "tanh >> Dense(1e400)": (15, "up to 1e15"),
    "Identity(1)": (1, "no numbers"),
    "relu >> Dropout(1.5)": (9, "at most 1"),
    "tanh > Dense()": (1, "'>' is not a join"),
    "tanh >> ": (9, "not a block"),
    "tanh >> 2": (6, "joins two layers"),
    "2 * 3 * tanh": (3, "scales a layer"),
    "tanh * tanh": (6, "scales a layer"),
    "Dense() / 2": (9, "not divided"),
    "Dense() - Dense()": (9, "not subtracted"),
    "-tanh": (1, "sign"),
    "Dense() ** 2.5": (9, "whole number"),
    "Dense() ** Dense()": (9, "whole number"),
    "Dense() ** 0": (9, "at least once"),
    "Dense() ** 10001": (9, f"at most {MAX_LAYERS} layers"),
    "(Dense() ** 200) ** 200": (18, f"at most {MAX_LAYERS} layers"),
    "3": (1, "a number alone"),
    "relu >> spectral(12)": (9, "did you mean Spectral"),
    "transformerblock(8)": (1, "did you mean TransformerBlock"),
    "relu >> Spectral()": (9, "Spectral needs modes: write Spectral(modes=...)"),
    "relu >> Spectral(0)": (9, "modes must be at least 1"),
    "relu >> Spectral(1.5)": (9, "modes is a whole number"),
    "relu >> Spectral((12, tanh))": (18, "modes is a whole number, or (12, 12)"),
    "relu >> Spectral(12, dc=3)": (25, 'dc is a word in quotes, such as "complex"'),
    "relu >> Spectral(12, dc='compex')": (9, "did you mean 'complex'"),
    "relu >> Spectral(12, half_open=1)": (32, "half_open is True or False"),
    "relu >> Spectral(12, spectrum=[1, 'a'])": (31, "numbers in brackets"),
    "relu >> Spectral(12, spectrum=[])": (31, "numbers in brackets"),
    "relu >> Spectral(12, spectrum=[1e400])": (31, "up to 1e15"),
    "relu >> Spectral(12, weight_var=None)": (33, "only layers"),
    "relu >> Spectral(12, relu)": (9, "takes numbers, not layers"),
    "FourierBlock(12, relu, 1)": (1, "each at most once"),
    "Conv(3, padding='SMAE')": (1, "did you mean 'SAME'"),
    "Attention(heads=many)": (17, "heads is a whole number, or inf"),
    "Attention(mask=[True])": (16, 'mask is a word in quotes, such as "causal"'),
    "TransformerBlock(1)": (1, "at least 2, not 1"),
    "TransformerBlock(8, norm='pst')": (1, "unknown norm"),
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_refused_with_its_column(text):
    column, says = REFUSED[text]
    with pytest.raises(ParseError) as caught:
        parse_block(text)
    assert says in caught.value.message
    assert caught.value.column == column


def test_what_the_theory_does_not_cover_is_said_by_the_theory():
    with pytest.raises(NoRule, match="put a Dense layer between"):
        parse_block("relu >> relu")


def test_only_text_is_read():
    with pytest.raises(TypeError, match=EXAMPLE[:4]):
        parse_block(relu)  # type: ignore[arg-type]


def test_a_long_chain_is_not_deep():
    assert depth(parse_block(" >> ".join(["Dense()"] * 150))) == 150
