"""Networks as people bring them, with a few samples: everything in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.torchvision_import import import_torchvision
from gsnr_sweep.models.resnet18 import ResNet18

CLASSES = 4
Case = Callable[[], tuple[nn.Module, Tensor]]


class Sentence(nn.Module):
    """An LSTM over the embeddings of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.lstm = nn.LSTM(5, 6, batch_first=True)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(tokens))[0][:, -1])


class TiedLanguageModel(nn.Module):
    """Predicts each next token with the weights of its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(CLASSES, 5)
        self.mix = nn.Linear(5, 5)
        self.head = nn.Linear(5, CLASSES, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(self.embed(tokens)))).mean(1)


class SmallViT(nn.Module):
    """A vision transformer with dropout, which is off in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.3, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def mlp() -> tuple[nn.Module, Tensor]:
    layers = nn.Linear(6, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, CLASSES)
    return nn.Sequential(*layers).double(), torch.randn(13, 6)


def cnn() -> tuple[nn.Module, Tensor]:
    layers = (
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, CLASSES)),
    )
    model = nn.Sequential(*layers).double()
    model(torch.randn(20, 2, 8, 8).double() + 1)  # running statistics that are not 0 and 1
    return model, torch.randn(9, 2, 8, 8)


def resnet18() -> tuple[nn.Module, Tensor]:
    model = ResNet18(4, (3, 16, 16), CLASSES).double()
    model(torch.randn(9, 3, 16, 16).double())
    return model, torch.randn(4, 3, 16, 16)


def torchvisions_resnet18() -> tuple[nn.Module, Tensor]:
    model = import_torchvision("torchvision.models").resnet18(num_classes=CLASSES).double()
    model(torch.randn(4, 3, 32, 32).double())
    return model, torch.randn(4, 3, 32, 32)


CASES: dict[str, Case] = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet18": resnet18,
    "torchvisions_resnet18": torchvisions_resnet18,
    "small_vit": lambda: (SmallViT().double(), torch.randn(6, 1, 12, 12)),
    "lstm": lambda: (Sentence().double(), torch.randint(0, 11, (8, 7))),
    "tied_weights": lambda: (TiedLanguageModel().double(), torch.randint(0, CLASSES, (9, 5))),
}


def case(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in training mode, inputs, labels."""
    model, x = CASES[name]()
    return model.train(), x, torch.randint(0, CLASSES, (len(x),))


def gradients_one_by_one(
    model: nn.Module, x: Tensor, y: Tensor, losses: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Per-sample gradients [N, *shape] of losses [N], one backward pass a sample, float64."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    was = model.training
    model.eval()
    x = x.double() if x.is_floating_point() else x
    rows = [
        torch.autograd.grad(loss, list(named.values()), materialize_grads=True)
        for i in range(len(x))
        for loss in [losses(torch.cat([model(x[k : k + 1]) for k in range(len(x))]), y)[i]]
    ]
    model.train(was)
    return {name: torch.stack([row[k] for row in rows]) for k, name in enumerate(named)}


SLOW = {"torchvisions_resnet18"}
EACH = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
"""Names of all cases, for a test that takes one."""
