"""Networks on which per-sample gradients are compared with sample-by-sample autograd."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.gradients import Method

IMAGES = (3, 8, 8)


class Residual(nn.Module):
    """Two layers around an in-place sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3 * 64, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        h += x
        return self.head(torch.relu_(h).flatten(1))


class SharedLayer(nn.Module):
    """The same layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class TiedWeights(nn.Module):
    """A weight used outside its module's call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(F.linear(self.layer(x), self.layer.weight)))


class OwnParameters(nn.Module):
    """A module with parameters of its own beside those of its child."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(6))
        self.child = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.child(torch.sin(x * self.gain))


class OneDimensional(nn.Module):
    """A convolution that has no rule of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6, bias=False)
        self.second = nn.Conv1d(1, 2, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(torch.tanh(self.first(x)).unsqueeze(1)).flatten(1))


class TwoInputs(nn.Module):
    """A layer that is called with two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.bilinear = nn.Bilinear(6, 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bilinear(x, torch.cos(x))


class Sequence(nn.Module):
    """A linear layer over positions, and layer normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(2, 5)
        self.norm = nn.LayerNorm(5)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.norm(self.embed(x.view(-1, 3, 2)))).mean(1))


class FoldedPositions(nn.Module):
    """A linear layer called with samples and positions in one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 5)
        self.head = nn.Linear(15, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(x.reshape(-1, 2))).view(len(x), -1))


class SequenceFirst(nn.Module):
    """Layers called with positions before samples, [T = N = 3, ...] on the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 5)
        self.norm = nn.LayerNorm(5)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        positions = x.view(-1, 3, 2).transpose(0, 1)
        return self.head(torch.tanh(self.norm(self.layer(positions))).mean(0))


class Siamese(nn.Module):
    """A convolution called once with two views of every sample, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(144, 4)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.conv(torch.cat([x, x.flip(3)])).chunk(2)
        return self.head(torch.tanh(one * other).flatten(1))


class Recurrent(nn.Module):
    """An LSTM over positions; torch.func does not take it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 5, batch_first=True)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.view(-1, 3, 2))[0][:, -1])


class Attention(nn.Module):
    """Self-attention, whose output projection is used without being called."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        positions = x.view(-1, 3, 2)
        return self.head(self.attention(positions, positions, positions)[0].flatten(1))


def _tied_with_zero_head() -> nn.Module:
    """Zero output weights hide at first that the hidden layer's weight is used twice."""
    model = TiedWeights()
    nn.init.zeros_(model.head.weight)
    return model


def _frozen_bias() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    model[0].bias.requires_grad_(False)
    return model


def _conv(**settings: object) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, **settings),  # type: ignore[arg-type]
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 4),
    )


def _trained_norm(norm: nn.Module) -> nn.Module:
    """Give a normalization layer statistics and an affine map that are not the identity."""
    with torch.no_grad():
        norm.running_mean.normal_(0, 0.5)  # type: ignore[operator,union-attr]
        norm.running_var.uniform_(0.5, 2)  # type: ignore[operator,union-attr]
        norm.weight.normal_(1, 0.3)  # type: ignore[operator,union-attr]
        norm.bias.normal_(0, 0.3)  # type: ignore[operator,union-attr]
    return norm


def _frozen_first() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    model[0].requires_grad_(False)
    return model


# name: (factory, input shape, expected way)
CASES = {
    "linear": (lambda: nn.Linear(6, 4), (6,), Method.LAYERWISE),
    "mlp": (
        lambda: nn.Sequential(
            nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 4)
        ),
        (6,),
        Method.LAYERWISE,
    ),
    "linear_no_bias": (lambda: nn.Linear(6, 4, bias=False), (6,), Method.LAYERWISE),
    "sequence": (Sequence, (6,), Method.LAYERWISE),
    "frozen_first_layer": (_frozen_first, (6,), Method.LAYERWISE),
    "conv": (lambda: _conv(kernel_size=3), IMAGES, Method.LAYERWISE),
    "conv_5x5": (lambda: _conv(kernel_size=5), IMAGES, Method.LAYERWISE),
    "conv_1x1": (lambda: _conv(kernel_size=1), IMAGES, Method.LAYERWISE),
    "conv_oblong": (lambda: _conv(kernel_size=(2, 3)), IMAGES, Method.LAYERWISE),
    "conv_no_bias": (lambda: _conv(kernel_size=3, bias=False), IMAGES, Method.LAYERWISE),
    "conv_stride": (lambda: _conv(kernel_size=3, stride=2), IMAGES, Method.LAYERWISE),
    "conv_stride_uneven": (lambda: _conv(kernel_size=3, stride=(3, 2)), IMAGES, Method.LAYERWISE),
    "conv_padding": (lambda: _conv(kernel_size=3, padding=(1, 2)), IMAGES, Method.LAYERWISE),
    "conv_padding_same": (lambda: _conv(kernel_size=4, padding="same"), IMAGES, Method.LAYERWISE),
    "conv_padding_valid": (lambda: _conv(kernel_size=3, padding="valid"), IMAGES, Method.LAYERWISE),
    "conv_reflect": (
        lambda: _conv(kernel_size=3, padding=1, padding_mode="reflect"),
        IMAGES,
        Method.LAYERWISE,
    ),
    "conv_circular": (
        lambda: _conv(kernel_size=3, padding=2, padding_mode="circular"),
        IMAGES,
        Method.LAYERWISE,
    ),
    "conv_dilation": (lambda: _conv(kernel_size=3, dilation=2), IMAGES, Method.LAYERWISE),
    "conv_groups": (lambda: _conv(kernel_size=3, groups=3), IMAGES, Method.LAYERWISE),
    "conv_everything": (
        lambda: _conv(kernel_size=(3, 2), stride=2, padding=2, dilation=(1, 2), groups=3),
        IMAGES,
        Method.LAYERWISE,
    ),
    "max_pool": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4)
        ),
        IMAGES,
        Method.LAYERWISE,
    ),
    "batch_norm_2d_eval": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3),
            _trained_norm(nn.BatchNorm2d(4)),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(144, 4),
        ).eval(),
        IMAGES,
        Method.LAYERWISE,
    ),
    "batch_norm_1d_eval": (
        lambda: nn.Sequential(
            nn.Linear(6, 5), _trained_norm(nn.BatchNorm1d(5)), nn.ReLU(), nn.Linear(5, 4)
        ).eval(),
        (6,),
        Method.LAYERWISE,
    ),
    "residual_in_place": (Residual, IMAGES, Method.LAYERWISE),
    "own_parameters": (OwnParameters, (6,), Method.LAYERWISE),
    "conv_1d": (OneDimensional, (6,), Method.LAYERWISE),
    "group_norm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(144, 4)
        ),
        IMAGES,
        Method.LAYERWISE,
    ),
    "prelu": (
        lambda: nn.Sequential(nn.Linear(6, 5), nn.PReLU(5), nn.Linear(5, 4)),
        (6,),
        Method.LAYERWISE,
    ),
    "shared_layer": (SharedLayer, (6,), Method.FUNCTORCH),
    "tied_weights": (TiedWeights, (6,), Method.FUNCTORCH),
    "frozen_bias": (_frozen_bias, (6,), Method.LAYERWISE),
    "batch_norm_1d_positions": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 5, 1),
            _trained_norm(nn.BatchNorm1d(5)),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(15, 4),
        ).eval(),
        (2, 3),
        Method.LAYERWISE,
    ),
    "folded_positions": (FoldedPositions, (6,), Method.FUNCTORCH),
    "sequence_first": (SequenceFirst, (6,), Method.FUNCTORCH),
    "siamese": (Siamese, IMAGES, Method.FUNCTORCH),
    "tied_weights_zero_head": (_tied_with_zero_head, (6,), Method.FUNCTORCH),
    "attention": (Attention, (6,), Method.FUNCTORCH),
    "recurrent": (Recurrent, (6,), Method.PER_SAMPLE),
    "two_inputs": (TwoInputs, (6,), Method.FUNCTORCH),
}
