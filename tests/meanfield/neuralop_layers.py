"""The layers of neuraloperator 2.0.0 as its code was read: names, shapes and order of weights, what follows what."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

MODULE = "neuralop.layers"


class SpectralConv(nn.Module):
    """Weights (in, out, *n), place j on an axis of n being k = j - n//2, on the last k = j < n//2 + 1."""

    def __init__(self, channels_in, channels_out, n_modes, *, bias=True, separable=False, complex_data=False):
        super().__init__()
        *others, last = n_modes
        self.in_channels, self.out_channels = channels_in, channels_out
        self.max_n_modes = self.n_modes = [*others, last // 2 + 1]
        self.separable, self.complex_data, self.resolution_scaling_factor = separable, complex_data, None
        self.weight = nn.Parameter(torch.randn(channels_in, channels_out, *self.n_modes, dtype=torch.cfloat))
        self.bias = nn.Parameter(torch.randn(channels_out, *(1 for _ in n_modes))) if bias else None

    def forward(self, x):
        axes = tuple(range(2, x.ndim))
        hat = torch.fft.rfftn(x, dim=axes)
        hat = torch.fft.fftshift(hat, dim=axes[:-1]) if axes[1:] else hat
        starts = [size // 2 - n // 2 for size, n in zip(hat.shape[2:-1], self.n_modes, strict=False)]
        kept = (..., *(slice(at, at + n) for at, n in zip([*starts, 0], self.n_modes, strict=True)))
        found = hat.new_zeros(len(x), self.out_channels, *hat.shape[2:])
        found[kept] = torch.einsum("bi...,io...->bo...", hat[kept], self.weight)
        found = torch.fft.ifftshift(found, dim=axes[:-1]) if axes[1:] else found
        y = torch.fft.irfftn(found, s=x.shape[2:], dim=axes)
        return y if self.bias is None else y + self.bias


class Flattened1dConv(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, x):
        return self.conv(x.flatten(2)).reshape(x.shape)


class SoftGating(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))


SKIPS = {"linear": Flattened1dConv, "soft-gating": SoftGating, "identity": lambda channels: nn.Identity()}


class FNOBlocks(nn.Module):
    def __init__(
        self, channels, _, n_modes, n_layers=1, *, non_linearity=nn.functional.gelu, fno_skip="linear",
        use_channel_mlp=False, norm=None, stabilizer=None, conv_module=SpectralConv,
    ):  # fmt: skip
        super().__init__()
        self.n_layers, self.non_linearity, self.stabilizer = n_layers, non_linearity, stabilizer
        self.use_channel_mlp = use_channel_mlp
        self.convs = nn.ModuleList(conv_module(channels, channels, n_modes) for _ in range(n_layers))
        self.fno_skips = None if fno_skip is None else nn.ModuleList(SKIPS[fno_skip](channels) for _ in self.convs)
        if use_channel_mlp:
            self.channel_mlp = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in self.convs)
        self.norm = None if norm is None else nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(2 * n_layers))

    def forward(self, x, index=0):
        x = self.convs[index](x) + self.fno_skips[index](x)
        for _ in range(2 if index < self.n_layers - 1 else 0):
            x = self.non_linearity(x)
        return x


for kind in (SpectralConv, Flattened1dConv, SoftGating, FNOBlocks):
    kind.__module__ = MODULE
as_read = SimpleNamespace(SpectralConv=SpectralConv, FNOBlocks=FNOBlocks)


def installed():
    """The same names of the package itself; ImportError without it."""
    import neuralop.layers.fno_block as blocks
    import neuralop.layers.spectral_convolution as convolution

    return SimpleNamespace(SpectralConv=convolution.SpectralConv, FNOBlocks=blocks.FNOBlocks)
