"""Parameters by their axes, attention scores, tied embeddings, adapters; each against a real network of NumPy."""

import numpy as np
import pytest
from sympy import Integer, Rational

from symbolic.activations import ACTIVATIONS
from symbolic.attention import Attention
from symbolic.networks import Dense, Identity, LayerNorm
from symbolic.pictures import Conv
from symbolic.scaling.architectures import HEAD, NAMES, architecture
from symbolic.scaling.conditions import PARAMETRIZATIONS
from symbolic.scaling.layers import WIDTH, Axis, Parameter
from symbolic.scaling.optimizers import RULES, optimizer
from symbolic.scaling.rules import exponents
from symbolic.scaling.scores import scores
from symbolic.scaling.setups import setup
from symbolic.scaling.shared import C_A, C_B, efficient, lora, tied
from symbolic.scaling.solve import Contradiction, solution
from symbolic.scaling.traces import trace
from symbolic.sequences import PositionalEncoding
from symbolic.signals import NoRule
from symbolic.transformers import TransformerBlock

half = Rational(1, 2)
tanh, relu = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]
BRANCH = tanh >> Dense() >> tanh >> Dense()
WIDTHS = (64, 128, 256, 512)


def made(name, rule="adam", *, parametrization="mup", gauge=None, fixed=None, depth=None, **powers):
    return setup(architecture(name), optimizer(rule, **powers), parametrization, gauge, "matched", fixed, depth)


def kinds(name):
    found = architecture(name)
    return {p.name: p.kind for p in (*found.path, *found.beside)}


def fitted(measure, widths=WIDTHS, seeds=6):
    rows = [np.mean([np.log(measure(n, np.random.default_rng(s))) for s in range(seeds)], axis=0) for n in widths]
    return np.polyfit(np.log(widths), rows, 1)[0]


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


# -- types from axes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transformer", "transformer_fixed_head", "transformer_tied", "moe"])
def test_the_types_of_a_transformer(name):
    found = kinds(name)
    ends = {"embedding": "input", "position embedding": "input", "unembedding": "output"}
    vectors = dict.fromkeys(("bias", "gain", "branch bias", "branch gain"), "input")
    router = {"router": "output"} if name == "moe" else {}
    assert {n: k for n, k in found.items() if k != "hidden"} == {**ends, **vectors, **router}
    mlp = ("expert up", "expert down") if name == "moe" else ("MLP up", "MLP down")
    assert {n for n, k in found.items() if k == "hidden"} == {"query", "key", "value", "attention output", *mlp}


def test_grouped_queries_stay_hidden():
    assert Parameter("key", (WIDTH,), (Axis("groups"), HEAD)).kind == "hidden"
    assert Parameter("key", (WIDTH,), (Axis("groups"), Axis("d_head"))).kind == "output"  # one fixed head in all


def test_what_lies_in_residual_branches():
    found = architecture("transformer")
    outside = {p.name for p in (*found.path, *found.beside) if not p.block}
    assert outside == {"embedding", "position embedding", "unembedding", "bias", "gain"}
    assert [architecture(name).matrices for name in NAMES] == [0, 2, 2, 2, 2, 2, 0]


def test_residual_networks():
    net = Dense(bias_var=0) >> (Identity() + 0.3 * BRANCH) ** 2 >> LayerNorm() >> Dense()
    found = trace(net)
    assert [p.kind for p in found.path] == ["input", *["hidden"] * 4, "output"]
    assert [p.block for p in found.path] == [False, True, True, True, True, False]
    assert {p.name: (p.kind, p.block) for p in found.beside} == {
        "branch bias": ("input", True),
        "gain": ("input", False),
        "output bias": ("fixed", False),
    }
    assert found.matrices == 2
    assert trace(Dense() >> Identity() + (tanh >> Dense()) >> Dense()).matrices == 1
    projected = trace(Conv(3) >> (relu >> Conv(3)) + (relu >> Conv(1)) >> relu >> Conv(1))
    assert (projected.matrices, [p.block for p in projected.path]) == (0, [False] * 4)
    nested = Identity() + (tanh >> Dense() >> Identity() + (tanh >> Dense()) >> tanh >> Dense())
    assert trace(Dense() >> nested >> tanh >> Dense()).matrices == 3


def test_networks_of_tokens():
    block = Identity() + Attention()
    found = trace(Dense() >> PositionalEncoding() >> block >> Identity() + BRANCH >> Dense())
    assert [p.name for p in found.path] == ["input", "value", "attention output", "hidden 1", "hidden 2", "output"]
    assert [p.name for p in found.beside if p.kind == "hidden"] == ["query", "key"]
    assert found.attends and found.matrices == 2


def test_networks_of_transformer_blocks():
    whole, bare = architecture(TransformerBlock(4, bias_var=0.1)), architecture(TransformerBlock(4, None, norm=None))
    assert (whole.path, whole.beside) == (architecture("transformer").path, architecture("transformer").beside)
    assert [p.name for p in bare.path] == ["embedding", "value", "attention output", "unembedding"]
    assert [p.name for p in bare.beside] == ["position embedding", "query", "key"]
    assert whole.scores == bare.scores == scores()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (Identity() + Dense() >> Dense(), NoRule, "begins inside a sum or in attention"),
        (Dense() >> Identity() + (tanh >> Dense()), NoRule, "ends inside a sum or in attention"),
        (Dense() >> Attention(), NoRule, "ends inside a sum or in attention"),
        (TransformerBlock.dong2021(4), NoRule, "only residual blocks are stacked here"),
        (Dense() >> tanh, NoRule, "has 1 weight matrices"),
        ("transformr", ValueError, "unknown architecture 'transformr'; did you mean 'transformer'"),
        ("?", ValueError, "known are 'mlp', 'resnet'"),
        (4, TypeError, "an architecture is a network or one of 'mlp'"),
    ],
)
def test_architectures_that_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        architecture(given)


def test_parameters_beside_the_path_have_the_exponents_of_their_kind():
    for name in sorted(set(RULES) - {"predictive_coding", "target_propagation"}):
        found = made("moe", name)
        rows = {p.kind: row for p, row in zip(found.chain.layers, exponents(found.chain), strict=True)}
        assert found.beside["branch gain"] == found.beside["bias"] == rows["input"]
        assert found.beside["query"] == rows["hidden"]
        assert found.beside["router"] == rows["output"]
    beside = made(Dense() >> tanh >> Dense(), "kfac").beside
    assert beside["output bias"].learning_rate == beside["output bias"].damping[0] == 0


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_a_residual_network_scales_as_a_chain(parametrization):
    residual = made("resnet", "adam", parametrization=parametrization)
    plain = made(Dense() >> (tanh >> Dense()) ** 3, "adam", parametrization=parametrization)
    assert exponents(residual.chain) == exponents(plain.chain)


# -- attention ---------------------------------------------------------------------------------------------------------


def test_scores_of_attention():
    right, root = scores(), scores(-half)
    assert (right.multiplier, right.drawn, right.trained) == (-1, -half, 0)
    assert (root.drawn, root.trained) == (0, half)
    assert architecture("transformer").scores == right
    fixed = architecture("transformer_fixed_head").scores
    assert (fixed.multiplier, fixed.drawn, fixed.trained) == (0, 0, 0)


@pytest.mark.parametrize("multiplier", [-1, -half])
def test_scores_of_a_real_head(multiplier):
    """Queries and keys after a step of the sign: the scores grow by d^(1/2) at 1/sqrt(d), and not at 1/d."""

    def measure(d, rng, tokens=5):
        X, loss = rng.standard_normal((tokens, d)), rng.standard_normal((tokens, tokens))
        Q, K = rng.standard_normal((2, d, d)) / np.sqrt(d)
        step_Q, step_K = np.sign(X.T @ loss @ X @ K), np.sign(X.T @ loss.T @ X @ Q)
        before = d ** float(multiplier) * (X @ Q) @ (X @ K).T
        after = d ** float(multiplier) * (X @ (Q - 0.1 * step_Q / d)) @ (X @ (K - 0.1 * step_K / d)).T
        return rms(before), rms(after - before)

    found, predicted = fitted(measure), scores(multiplier)
    assert np.abs(found - [float(predicted.drawn), float(predicted.trained)]).max() < 0.08


# -- tied embeddings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(RULES) - {"kfac", "foof", "predictive_coding", "target_propagation"}))
def test_tied_embeddings_keep_the_embeddings_exponents_and_gain_a_multiplier(name):
    found = made("transformer_tied", name)
    first, *_, last = exponents(found.chain)
    assert (first.init_std, first.multiplier, last.init_std, last.multiplier) == (0, 0, 0, -1)
    assert first.learning_rate == last.learning_rate == tied(optimizer(name)).matrix.learning_rate
    assert first == tied(optimizer(name)).matrix  # with its damping
    assert first.learning_rate == exponents(made("transformer", name).chain)[0].learning_rate


def test_tied_embeddings_without_a_multiplier_contradict():
    with pytest.raises(
        Contradiction, match=r"embedding: its update changes(.|\n)*unembedding: its update changes"
    ) as e:
        made("transformer_tied", gauge="a=0")
    assert len(e.value.conditions) == 2
    with pytest.raises(ValueError, match=r"needs the multiplier n\^-1 times .* gives n\^\(-1/2\): leave gauge out"):
        made("transformer_tied", gauge={"output": -half})
    for gauge in ("table8", "table9", "unit"):
        chain = made("transformer_tied", gauge=gauge).chain
        assert chain.a[-1] - chain.a[0] == 1


@pytest.mark.parametrize("name", ["kfac", "foof", "predictive_coding"])
def test_tied_embeddings_of_other_signals_are_refused(name):
    with pytest.raises(ValueError, match="for a matrix in two roles is not determined by its gradient"):
        made("transformer_tied", name)


@pytest.mark.parametrize(("multiplier", "drawn", "moved"), [(-1, 0, 0), (0, 1, 1)])
def test_a_real_tied_network(multiplier, drawn, moved):
    def measure(n, rng, words=6):
        W, H = rng.standard_normal((n, words)), rng.standard_normal((n, n)) / np.sqrt(n)
        loss, scale = rng.standard_normal((words, words)), float(n) ** multiplier

        def stream(W, H):
            return W + H @ np.tanh(W)

        back = scale * W @ loss
        through = back + (1 - np.tanh(W) ** 2) * (H.T @ back)
        after_W = W - 0.1 * np.sign(through + scale * stream(W, H) @ loss.T)
        after_H = H - 0.1 * np.sign(back @ np.tanh(W).T) / n
        before, after = scale * W.T @ stream(W, H), scale * after_W.T @ stream(after_W, after_H)
        return rms(before), rms(stream(after_W, after_H) - stream(W, H)), rms(after - before)

    assert np.abs(fitted(measure) - [drawn, 0, moved]).max() < 0.08
    predicted = made("transformer_tied").slopes["unembedding"]
    assert (predicted.h, predicted.dh) == (0, 0)
    assert made("transformer").slopes["unembedding"].h == -half


# -- adapters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "A", "B"), [("adam", -1, 0), ("sign", -1, 0), ("sgd", -1, 1), ("muon", -half, half)])
def test_learning_rates_of_adapters(name, A, B):
    found = lora(optimizer(name))
    assert (found.A.learning_rate, found.B.learning_rate, found.ratio) == (A, B, B - A)
    assert (found.z, found.by_A, found.by_B, found.reasons) == (0, 0, 0, ())
    assert made("lora", name).slopes["B"].dh == 0


def test_equal_learning_rates_of_adapters():
    with pytest.raises(Contradiction, match="A and B have the same learning rate") as e:
        solution(efficient(optimizer("adam"), equal_rates=True), (C_A, C_B))
    assert len(e.value.conditions) == 3
    found = lora(optimizer("adam"), equal_rates=True)
    assert (found.A.learning_rate, found.ratio, found.z, found.by_A, found.by_B) == (-half, 0, half, 0, -half)
    assert found.reasons == ("A x grows as n^(1/2)", "B hardly learns: dB A x fades as n^(-1/2)")


@pytest.mark.parametrize("equal", [False, True])
def test_real_adapters(equal):
    predicted = lora(optimizer("adam"), equal_rates=equal)

    def measure(n, rng, rank=4, inputs=4):
        X = rng.standard_normal((n, inputs))
        delta = rng.standard_normal((n, 1)) / n * rng.choice([-1.0, 1.0], inputs)
        A0 = A = rng.standard_normal((rank, n)) / np.sqrt(n)
        B = np.zeros((n, rank))
        for _ in range(3):
            step_A, step_B = np.sign(B.T @ delta @ X.T), np.sign(delta @ (A @ X).T)
            A = A - 0.1 * float(n) ** float(predicted.A.learning_rate) * step_A
            B = B - 0.1 * float(n) ** float(predicted.B.learning_rate) * step_B
        return rms((A - A0) @ X), rms(B @ (A - A0) @ X), rms(B @ A0 @ X)

    wanted = [float(e) for e in (predicted.z, predicted.by_A, predicted.by_B)]
    assert np.abs(fitted(measure, (128, 256, 512, 1024)) - wanted).max() < 0.08


def test_adapters_that_are_refused():
    with pytest.raises(ValueError, match="no rule for adapters is known for lamb"):
        lora(optimizer("lamb"))
    with pytest.raises(ValueError, match="does not depend on the size of the gradient, which that of sgd does"):
        lora(optimizer("sgd"), equal_rates=True)
    with pytest.raises(ValueError, match="adapters are solved for parametrization='mup', not 'ntk'"):
        made("lora", parametrization="ntk")
    with pytest.raises(ValueError, match="adapters are solved without gauge='table3': leave gauge out"):
        made("lora", gauge="table3")


# -- depth by name -----------------------------------------------------------------------------------------------------


def test_complete_p():
    """Width and depth as published: hidden n^-1 L^(alpha-1), vectors L^(alpha-1), epsilon n^-1 L^-alpha."""
    found = made("transformer", depth="completep")
    hidden = exponents(found.chain)[1]
    assert (hidden.learning_rate, hidden.weight_decay, hidden.damping) == (-1, 1, -1)
    assert (found.depth.block.learning_rate, found.depth.block.damping, found.depth.multiplier) == (0, -1, -1)
    ends = [exponents(found.chain)[k].learning_rate for k in (0, -1)]
    assert ends == [0, -1] and found.beside["branch gain"].learning_rate == 0
    assert exponents(made("transformer", gauge="table8").chain)[-1].learning_rate == 0  # their readout has 1/n outside


def test_unit_scaling():
    """Weights of variance 1; Adam n^(-1/2) in hidden matrices and, as published, the embedding; 1 in the readout."""
    found = made("transformer", depth="u_mup")
    rows = exponents(found.chain)
    assert [rows[k].init_std for k in (0, 1, -1)] == [0, 0, 0]
    assert [rows[k].multiplier for k in (0, 1, -1)] == [0, -half, -1]
    assert [rows[k].learning_rate for k in (0, 1, -1)] == [-half, -half, 0]
    assert (found.depth.multiplier, found.depth.block.learning_rate) == (-half, -half)
    assert found.beside["bias"].learning_rate == Integer(0)
    assert found.slopes["embedding"].own == -half  # what the published rule costs; the maximal update has 0
    assert made("transformer", depth="depth_mup").slopes["embedding"].own == 0
    with pytest.raises(ValueError, match="u_mup is a rule for adam and adamw; for sgd"):
        made("transformer", "sgd", depth="u_mup")
    with pytest.raises(ValueError, match="u_mup is solved without gauge='table3'"):
        made("transformer", depth="u_mup", gauge="table3")
