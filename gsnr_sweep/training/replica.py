"""One replica: a network, its training set, and how its weights are read and moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.autograd import AutogradEngine
from gsnr_sweep.gradients import Moments

NO_PARAMETER = "/"
"""What names in a replica's state begin with that are neither parameters nor buffers."""


@dataclass(frozen=True)
class Losses:
    """Losses of a set of samples.

    Attributes:
        per_sample: [N] float64.
        accuracy: Share of correctly classified samples; NaN for a regression.
    """

    per_sample: Tensor
    accuracy: float

    @property
    def mean(self) -> float:
        """Return the set's loss L, eq. (3)."""
        return float(self.per_sample.mean())

    @property
    def error(self) -> float:
        """Share of misclassified samples, exact where there are none; NaN for a regression."""
        if math.isnan(self.accuracy):
            return math.nan
        n = len(self.per_sample)
        return (n - round(self.accuracy * n)) / n


@dataclass(eq=False)
class Replica:
    """A network trained on one training set.

    For gradient descent weights are kept in float64 beside the network's own: updates of λg far
    below float32's resolution of a weight then add up instead of getting lost. Optimizers work on
    the network's own, as in any script.

    Attributes:
        engine: The network, which nobody else may use, and how it goes over samples.
        train: The training set D, on the same device.
        by_optimizer: Whether an optimizer moves the weights.
        others: The other replicas' training sets, for measures that look at them.
        initial: The weights before any training by name, all parameters, of all replicas.
        test: The test set D', for measures that look at it.
    """

    engine: AutogradEngine
    train: Samples
    by_optimizer: bool = False
    others: Sequence[Samples] = ()
    initial: Mapping[str, Tensor] = field(default_factory=dict)
    test: Samples | None = None

    def __post_init__(self) -> None:
        self.model, self.loss = self.engine.model, self.engine.loss
        self._parameters = [p for p in self.model.parameters() if p.requires_grad]
        own = [p.detach() for p in self._parameters]
        self._weights = own if self.by_optimizer else [p.double() for p in own]

    def gradient(self, batch: Samples | None = None) -> list[Tensor]:
        """Return the gradient of the training loss L[D], float64, one tensor a parameter.

        With batch normalization this is the gradient through the statistics of the whole set.

        Args:
            batch: Samples to take instead of the whole training set D.
        """
        samples = self.train if batch is None else batch
        return [part / len(samples) for part in self.engine.gradient(samples)]

    def training_gradient(self, batch: Samples) -> list[Tensor]:
        """Return the gradient of a mini-batch's mean loss in training mode, in the run's dtype."""
        return self.engine.training_gradient(batch)

    @torch.no_grad()
    def descend(self, gradient: list[Tensor], lr: float) -> None:
        """Take one step θ ← θ − λ g."""
        for weight, g in zip(self._weights, gradient, strict=True):
            weight.sub_(g, alpha=lr)
        self.use_weights()

    @torch.no_grad()
    def step_along(self, update: Tensor) -> None:
        """Take one step θ ← θ − u, [P] in the order of the parameters."""
        sizes = [weight.numel() for weight in self._weights]
        for weight, u in zip(self._weights, torch.split(update, sizes), strict=True):
            weight.sub_(u.view_as(weight).to(weight.device))
        self.use_weights()

    @torch.no_grad()
    def use_weights(self) -> None:
        """Have the network compute with the float64 weights as they are now, rounded."""
        if not self.by_optimizer:
            for weight, parameter in zip(self._weights, self._parameters, strict=True):
                parameter.copy_(weight)

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """Put weights and buffers back, bit for bit, at the end of the block."""
        kept = {name: tensor.clone() for name, tensor in self.state().items()}
        try:
            yield
        finally:
            self.load_state(kept)

    def live_in(self, weights: list[Tensor], working: list[Tensor]) -> None:
        """Move the weights into other memory, from where others may change them too.

        Args:
            weights: Gets the float64 weights, one tensor a trained parameter; the same as `working`
                where an optimizer moves them.
            working: Gets the network's own.
        """
        for mine, place in zip(self._weights, weights, strict=True):
            place.copy_(mine)
        for parameter, place in zip(self._parameters, working, strict=True):
            place.copy_(parameter.detach())
            parameter.data = place
        self._weights = weights

    @property
    def weights(self) -> list[Tensor]:
        """The weights that are moved, one tensor a trained parameter."""
        return self._weights

    def state(self) -> dict[str, Tensor]:
        """Return what training has changed: the weights, and buffers if there are any."""
        names = [name for name, p in self.model.named_parameters() if p.requires_grad]
        weights = dict(zip(names, self._weights, strict=True))
        buffers = {f"buffer.{name}": b for name, b in self.model.named_buffers()}
        return weights | buffers

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned earlier."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.use_weights()

    def fix_statistics(self) -> None:
        """Normalize with the training set's statistics at the current weights from now on."""
        self.engine.fix_statistics(self.train)

    def moments(self, signs: bool = True) -> tuple[Moments, Losses]:
        """Return the per-sample gradients' moments over D, and D's losses on the way.

        Args:
            signs: Whether to count positive and negative gradients.
        """
        losses: list[Tensor] = []
        correct = 0

        def keep(outputs: Tensor, targets: Tensor, chunk_losses: Tensor) -> None:
            nonlocal correct
            losses.append(chunk_losses)
            correct += self.loss.count_correct(outputs, targets)

        moments = self.engine.moments(self.train, keep, signs)
        return moments, self._as_losses(losses, correct)

    @torch.no_grad()
    def losses(self, samples: Samples) -> Losses:
        """Return the losses of a set of samples at the current weights."""
        losses, correct = [], 0
        for outputs, y in self.engine.outputs(samples):
            losses.append(self.sample_losses(outputs, y))
            correct += self.loss.count_correct(outputs, y)
        return self._as_losses(losses, correct)

    def _as_losses(self, parts: list[Tensor], correct: int) -> Losses:
        per_sample = torch.cat(parts)
        accuracy = correct / len(per_sample) if self.loss.task == "classification" else math.nan
        return Losses(per_sample, accuracy)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the training set in chunks (x, y) that fit a backward pass."""
        return self.engine.batches(self.train)

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return each sample's loss [N], float64."""
        return self.loss(outputs, targets)
