"""Attention as data: what is accepted, what is refused and with which words."""

from math import inf

import pytest

from symbolic.attention import Attention, allowed
from symbolic.networks import Dense
from symbolic.pictures import GlobalAvgPool, pairs_before, shape_after


def test_an_attention_layer_is_data() -> None:
    layer = Attention(heads=2, qk_var=0.5, mask="causal")
    assert layer == Attention(2, qk_var=0.5, mask="causal") and hash(layer) == hash(
        Attention(2.0, "1/sqrt(d)", 0.5, mask="causal")
    )
    assert layer != Attention(heads=3, qk_var=0.5, mask="causal")
    assert str(layer).startswith("Attention(heads=2, scale=1/sqrt(d), qk_var=0.5")
    net = layer >> GlobalAvgPool() >> Dense(1, 0)
    assert shape_after(net, (5,)) == () and pairs_before(layer, False)


def test_outputs_are_gaussian_without_random_scores_or_with_infinitely_many_heads() -> None:
    assert Attention(inf).gaussian and Attention(4, scale="1/d").gaussian and Attention(scale="1/d", tied=True).gaussian
    assert not Attention(4).gaussian


def test_masks() -> None:
    assert allowed(None, 2) == ((True, True), (True, True))
    assert allowed("causal", 3) == ((True, False, False), (True, True, False), (True, True, True))
    rows = [[1, 0], [1, 1]]
    assert allowed(Attention(mask=rows).mask, 2) == ((True, False), (True, True))
    with pytest.raises(ValueError, match="for 2 tokens, but the sequence has 3"):
        shape_after(Attention(mask=rows), (3,))
    with pytest.raises(ValueError, match="row 1 of the mask is empty"):
        Attention(mask=[[1, 0], [0, 0]])
    with pytest.raises(ValueError, match="a row and a column for each token"):
        Attention(mask=[[1, 0]])
    with pytest.raises(ValueError, match="unknown mask 'future'"):
        Attention(mask="future")
    with pytest.raises(TypeError, match="rows of booleans"):
        Attention(mask=3)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"heads": 0}, ValueError, "at least 1"),
        ({"heads": 2.5}, ValueError, "whole number"),
        ({"heads": "two"}, TypeError, "whole number"),
        ({"heads": float("nan")}, TypeError, "whole number"),
        ({"score": "sofmax"}, ValueError, "did you mean 'softmax'"),
        ({"scale": "1/n"}, ValueError, "known are 1/sqrt"),
        ({"qk_var": -1}, ValueError, "qk_var must be finite and at least 0"),
        ({"ov_var": 0}, ValueError, "ov_var must be finite and greater than 0"),
        ({"tied": 1}, TypeError, "True or False"),
        ({"tied": True}, ValueError, "grow like sqrt"),
    ],
)
def test_what_is_refused(given: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Attention(**given)


@pytest.mark.parametrize("shape", [(), (4, 4)])
def test_only_sequences_are_read(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="reads sequences"):
        shape_after(Attention(), shape)
