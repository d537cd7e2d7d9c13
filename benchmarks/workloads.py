"""What is computed: a network, a width, and training sets of a given size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gsnr_sweep.data.samples import Samples
    from gsnr_sweep.data.sampling import RunSets
    from gsnr_sweep.losses.loss import Task

LR = 1e-3
_MNIST, _CIFAR = (1, 28, 28), (3, 32, 32)
_SHAPES = {
    "table2_cnn": _MNIST,
    "table3_cnn": _CIFAR,
    "resnet18": _CIFAR,
    "mlp": _MNIST,
    "perceptron": _MNIST,
    "vgg": _CIFAR,
    "vgg_bn": _CIFAR,
    "toy_mlp": (2,),
    "attention": _MNIST,
    "encoder": _MNIST,
    "lstm": (20,),
}
_NAMES = {
    "table2_cnn": "Table 2 CNN, ch={ch}",
    "table3_cnn": "Table 3 CNN, ch={ch}",
    "resnet18": "ResNet18, ch={ch}, 32×32",
    "mlp": "MLP 784-{ch}-{ch}-10",
    "perceptron": "perceptron 784-{ch}-10",
    "vgg": "VGG of 3 stages, ch={ch}",
    "vgg_bn": "VGG of 3 stages with batch normalization, ch={ch}",
    "toy_mlp": "toy MLP 2-{ch}-1",
    "attention": "vision transformer in linear layers, width {ch}",
    "encoder": "vision transformer of `nn.TransformerEncoder`, width {ch}",
    "lstm": "LSTM of width {ch} over 20 tokens",
}
OWN = ("attention", "encoder", "lstm")
"""Networks that only users bring: a sweep has none of them."""
TOKENS = 1000
"""Different tokens of a sequence."""
WEIGHTS_SEED, _DATA_SEED = 0, 1


@dataclass(frozen=True)
class Workload:
    """One network on random data of the right shape.

    Attributes:
        model: ``table2_cnn``, ``table3_cnn``, ``resnet18``, ``mlp``, ``perceptron``, ``vgg``,
            ``vgg_bn`` or ``toy_mlp``, or one that only users bring: ``attention``, ``encoder``,
            ``lstm``.
        ch: Width.
        n: Samples in a training set.
        n_sets: Training sets, and so replicas.
    """

    model: str
    ch: int
    n: int
    n_sets: int

    @property
    def label(self) -> str:
        """Name the workload for people."""
        return f"{self.label_of_one}, M={self.n_sets}"

    @property
    def label_of_one(self) -> str:
        """Name it where there is one set."""
        return f"{_NAMES[self.model].format(ch=self.ch)}; n={self.n:,}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return _SHAPES[self.model]

    @property
    def task(self) -> Task:
        """Which loss: cross entropy or squared error."""
        return "regression" if self.model == "toy_mlp" else "classification"

    @property
    def normalizes(self) -> bool:
        """Whether there is batch normalization."""
        return self.model in ("table3_cnn", "resnet18", "vgg_bn")

    def sets(self) -> RunSets:
        """Draw the training sets, as the tool's own data sets come: uint8 pixels, standardized."""
        from gsnr_sweep.data.sampling import RunSets

        generator = torch.Generator().manual_seed(_DATA_SEED)
        train = [self._samples(generator) for _ in range(self.n_sets)]
        return RunSets(train, train[0])

    def _samples(self, generator: torch.Generator) -> Samples:
        from gsnr_sweep.data.samples import Samples, Standardization

        if self.task == "regression":
            x = torch.rand(self.n, 2, generator=generator, dtype=torch.float64) * 2 - 1
            noise = torch.rand(self.n, 1, generator=generator, dtype=torch.float64) * 2 - 1
            return Samples(x, x[:, :1] * x[:, 1:] + 0.2 * noise)
        size = (self.n, *self.shape)
        if self.model == "lstm":
            tokens = torch.randint(TOKENS, size, generator=generator)
            return Samples(tokens, torch.randint(10, (self.n,), generator=generator))
        pixels = torch.randint(256, size, generator=generator, dtype=torch.uint8)
        labels = torch.randint(10, (self.n,), generator=generator)
        channels = self.shape[0]
        scale = Standardization((0.5,) * channels, (0.29,) * channels, 255.0)
        return Samples(pixels, labels, scale)

    def tensors(self, dtype: str) -> list[tuple[Tensor, Tensor]]:
        """Draw the same sets as finished tensors (x, y), as a script would hold them."""
        found = []
        kind: torch.dtype = getattr(torch, dtype)
        for samples in self.sets().train:
            if self.model == "lstm":
                found.append((samples.x, samples.y))
                continue
            x, y = samples.batch(0, self.n, kind)
            found.append((x, y.to(kind) if self.task == "regression" else y))
        return found

    def initial(self) -> nn.Module:
        """Build the tool's network with its initial weights."""
        from benchmarks.ours import config
        from gsnr_sweep.models.build import build_model

        outputs = 1 if self.task == "regression" else 10
        return build_model(config(self).model, self.ch, self.shape, outputs, WEIGHTS_SEED)
