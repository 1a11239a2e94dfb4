"""Small seeded models of kinds people bring: MLPs, a ResNet, encoders of Transformers, a Fourier neural operator."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from meanfield.torch import FNO  # noqa: E402


def seeded(build, *given, seed=0, **options):
    """build(...), its parameters drawn with a seed of their own; the global random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(*given, **options)


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _mlp(depth, width, phi, bias, sizes):
    inner = [nn.Linear(width, width, bias) for _ in range(depth - 2)]
    layers = [nn.Linear(sizes[0], width, bias), *inner, nn.Linear(width, sizes[1], bias)]
    parts = [part for layer in layers for part in (layer, phi())]
    return nn.Sequential(*parts[:-1])


def mlp(depth=4, width=32, phi=nn.Tanh, bias=True, sizes=(16, 4)):
    """`depth` linear layers in a Sequential, `phi` between them; names "0", "1", ..."""
    return seeded(_mlp, depth, width, phi, bias, sizes)


class Residual(nn.Module):
    """x + factor W_2 phi(W_1 LN x)."""

    def __init__(self, width, factor):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.phi, self.factor = nn.GELU(), factor

    def forward(self, x):
        return x + self.factor * self.down(self.phi(self.up(self.norm(x))))


def residual_mlp(depth=3, width=32, factor=0.5, sizes=(16, 4)):
    """Names "0" in, "1" ... `depth` Residual blocks, a linear layer out."""
    return seeded(
        lambda: nn.Sequential(
            nn.Linear(sizes[0], width), *(Residual(width, factor) for _ in range(depth)), nn.Linear(width, sizes[1])
        )
    )


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm beside a skip, as in ResNets for CIFAR; a stride wants a downsample."""

    def __init__(self, into, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(out), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or into != out:
            self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """A stem with pooling, stages of BasicBlocks, global mean, a linear readout; images (batch, 3, 16, 16)."""

    def __init__(self, width=8, blocks=(2, 2), classes=4):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages, into = [], width
        for stage, count in enumerate(blocks):
            out = width * 2**stage
            first = BasicBlock(into, out, 1 + (stage > 0))
            stages.append(nn.Sequential(first, *(BasicBlock(out, out) for _ in range(count - 1))))
            into = out
        self.layers = nn.ModuleList(stages)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(into, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.layers:
            x = stage(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet(width=8, blocks=(2, 2), classes=4):
    return seeded(ResNet, width, blocks, classes)


class HandBlock(nn.Module):
    """A pre-LN block written by hand: one matrix for q, k, v, F.scaled_dot_product_attention, a GELU MLP."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attention(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class MixedBlock(nn.Module):
    """A pre-LN block around nn.MultiheadAttention."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.fc2(torch.relu(self.fc1(self.norm2(x))))


def _encoder(kind, width, heads, depth):
    if kind in ("pre", "post"):
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu" if kind == "pre" else "relu", batch_first=True,
            norm_first=kind == "pre",
        )  # fmt: skip
        return nn.TransformerEncoder(
            layer, depth, nn.LayerNorm(width) if kind == "pre" else None, enable_nested_tensor=False
        )
    block = {"hand": HandBlock, "mixed": MixedBlock}[kind]
    return nn.Sequential(*(block(width, heads) for _ in range(depth)))


class ViT(nn.Module):
    """Patches by a convolution, a class token, positions, an encoder, a readout of the class token; images 16 x 16.

    kind: "pre", "post" (nn.TransformerEncoder with norm_first or not), "hand" (HandBlock) or "mixed" (MixedBlock).
    """

    def __init__(self, kind="pre", width=32, heads=4, depth=2, classes=4):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.encoder = _encoder(kind, width, heads, depth)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.pos
        return self.head(self.norm(self.encoder(x))[:, 0])


def vit(kind="pre", width=32, heads=4, depth=2, classes=4):
    return seeded(ViT, kind, width, heads, depth, classes)


def fno(width=8, modes=4, depth=3, activation="gelu", pointwise=True, skip=False):
    """mf.torch.FNO on functions (batch, 1, grid)."""
    return seeded(FNO, 1, 1, width, modes, depth, activation, pointwise, skip)


EXAMPLES = {
    "mlp": (mlp, noise(8, 16)),
    "residual": (residual_mlp, noise(8, 16)),
    "resnet": (resnet, noise(4, 3, 16, 16)),
    "vit_pre": (lambda: vit("pre"), noise(4, 3, 16, 16)),
    "vit_post": (lambda: vit("post"), noise(4, 3, 16, 16)),
    "vit_hand": (lambda: vit("hand"), noise(4, 3, 16, 16)),
    "vit_mixed": (lambda: vit("mixed"), noise(4, 3, 16, 16)),
    "fno": (fno, noise(4, 1, 32)),
}
"""A builder and an input for each kind."""
