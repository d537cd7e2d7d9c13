"""One network with its loss: passes over sets of samples within a memory limit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from gsnr_sweep.api.data import SampleSet
from gsnr_sweep.api.kernels import KernelPasses
from gsnr_sweep.api.loss import LossFunction, SampleLoss, refuse_not_finite
from gsnr_sweep.api.network import BatchNorm, measured_copy
from gsnr_sweep.api.progress import shown
from gsnr_sweep.engine.autograd import image_format
from gsnr_sweep.engine.chunking import bytes_per_sample, chunk_sizes
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.gradients import Method, choose_method, gradient_moments
from gsnr_sweep.gradients.batchnorm import norms_in_order, norms_of
from gsnr_sweep.gradients.full_batch import full_batch_gradient, use_full_batch_statistics
from gsnr_sweep.gradients.functional import network_gradients
from gsnr_sweep.gradients.layer_io import NotTappableError, layerwise_gradients
from gsnr_sweep.gradients.parameters import Parameter, trained_parameters
from gsnr_sweep.gradients.parts import whole
from gsnr_sweep.user_code import UserCodeError, call, told

# Two right ways to one gradient may differ so much, in units of its norm.
_TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3}
_SPREAD = 256  # samples, one a chunk, on which the loss is tried together
_NO_END = 2**40  # samples in a set whose length is not known: chunks are bounded by memory alone


@dataclass(frozen=True)
class Settings:
    """How passes are made; none of it changes what they compute beyond rounding.

    Attributes:
        batch_size: Samples in a pass; None: by `memory_limit`.
        device: Where to compute.
        dtype: What to compute in; None for the network's own.
        batch_norm: Whose statistics batch normalization has.
        memory_limit: Bytes that a pass may use.
        progress: Whether to show a bar; None: on a terminal.
    """

    batch_size: int | None
    device: torch.device
    dtype: torch.dtype | None
    batch_norm: BatchNorm
    memory_limit: int
    progress: bool | None


@dataclass(frozen=True)
class SetMoments:
    """Sums over the n samples of a set that count.

    Attributes:
        n: How many there are.
        denominator: What the user's loss divides the sum of their numerators by.
        gradient_sum: [P] Σ_i g_i of the losses ℓ_i whose mean is the user's loss, float64.
        gradient_square_sum: [P] Σ_i g_i².
        loss: L, the mean of ℓ_i.
    """

    n: int
    denominator: float
    gradient_sum: Tensor
    gradient_square_sum: Tensor
    loss: float

    def on_cpu(self) -> SetMoments:
        """Return the same, with its vectors in the CPU's memory."""
        sums = self.gradient_sum.cpu(), self.gradient_square_sum.cpu()
        return replace(self, gradient_sum=sums[0], gradient_square_sum=sums[1])


@dataclass(frozen=True)
class Way:
    """How the gradients of networks of one form were found to be computed rightly.

    Attributes:
        form: What the network is made of, its inputs, and the loss.
        method: To per-sample gradients.
        explicit: Whether by compiled kernels.
    """

    form: tuple[object, ...]
    method: Method
    explicit: bool


class Measuring:
    """A copy of a network, tried on a few samples, with the way to its per-sample gradients."""

    def __init__(
        self,
        model: nn.Module,
        samples: SampleSet,
        loss: LossFunction,
        settings: Settings,
        known: Way | None = None,
    ) -> None:
        """Try it.

        Args:
            model: The user's; only a copy is computed with.
            samples: The set that will be measured first.
            loss: The user's.
            settings: How to go.
            known: What was found of a network before. If this one has the same form, the same way
                is gone, and held against the gradient of the loss alone.

        Raises:
            GsnrError: Something about network, data or loss does not allow it.
        """
        self.settings = settings
        arguments = settings.device, settings.dtype, settings.batch_norm
        self.model = measured_copy(model, *arguments)
        self.parameters: tuple[Parameter, ...] = trained_parameters(self.model)
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self.dtype = next(p.dtype for p in self._trained if p.is_floating_point())
        self._format = image_format(self.model)
        x, y = self._placed(*samples.examples())
        outputs = self._first_outputs(samples.name, x)
        self._norms = norms_of(self.model) if settings.batch_norm == "training_set" else []
        if self._norms:
            self._norms = norms_in_order(self.model, x)
            use_full_batch_statistics(self.model, self._norms, lambda: iter([(x, y)]), 1)
            outputs = self._first_outputs(samples.name, x)
        self.loss = SampleLoss(loss, outputs, y)
        form = _form(self.model, x, loss)
        known = known if known is not None and known.form == form else None
        if known is not None:
            self.method = known.method
        else:
            self.method = choose_method(self.model, x, y, self._tried_losses)
        self._hold_against_own_gradient(model, x, y)
        self._kernels = None
        if self.method is Method.LAYERWISE and (known is None or known.explicit):
            losses = self.loss.numerators
            self._kernels = KernelPasses.of(self.model, x, y, losses, agreed=known is not None)
        self.found = Way(form, self.method, self._kernels is not None)
        with self._explained(samples):
            activations, gradients = bytes_per_sample(self.model, x[:2], self.method)
        self._sizes = chunk_sizes(
            max(1, activations),
            gradients,
            _NO_END,
            settings.memory_limit,
            settings.batch_size,
            x.is_cuda,
        )
        self._examples = x, y

    @property
    def way(self) -> str:
        """How per-sample gradients are computed, in words."""
        return self.method.value if self._kernels is None else "compiled kernels"

    def fix_statistics(self, samples: SampleSet) -> None:
        """Normalize with a set's statistics at the present weights from now on."""
        if not self._norms:
            return
        size = self._sizes.step
        with self._explained(samples):
            first = list(islice(self._chunks(samples, size, "statistics"), 2))
            if len(first) == 1:  # the whole set: one pass for all layers
                use_full_batch_statistics(self.model, self._norms, lambda: iter(first), 1)
            else:
                batches = partial(self._chunks, samples, size, "statistics")
                use_full_batch_statistics(self.model, self._norms, batches, 0)

    def moments(self, samples: SampleSet) -> SetMoments:
        """Return the moments of the per-sample gradients over a set."""
        total = torch.zeros(3, dtype=torch.float64, device=self.settings.device)

        spread: list[tuple[Tensor, Tensor, Tensor]] = []  # data may be in the order of classes

        def keep(outputs: Tensor, y: Tensor, numerators: Tensor) -> None:
            refuse_not_finite(samples.name, numerators)
            self.loss.check(outputs, y, numerators)
            if len(spread) < _SPREAD and _fits(spread, outputs, y):
                spread.append((outputs[:1].clone(), y[:1], numerators[:1]))
            weights = self.loss.denominators(outputs, y)
            parts = (weights != 0).sum(), weights.sum(), numerators.sum()
            total.add_(torch.stack([part.double() for part in parts]))

        chunks = self._chunks(samples, self._sizes.moments, "gradients")
        with self._explained(samples):
            if self._kernels is not None:
                found = self._kernels.moments(chunks, self.loss.numerators, keep)
            else:
                found = gradient_moments(
                    self.model, chunks, self.loss.numerators, self.method, keep, signs=False
                )
        self.loss.check(*(torch.cat(parts) for parts in zip(*spread, strict=True)))
        n, denominator = int(total[0]), float(total[1])
        if n < 2:
            raise GsnrError(
                f"{samples.name}: {n} of its {found.count} samples count in the loss (the others "
                "have the weight zero or a target that is left out). A variance takes two at least."
            )
        scale = n / denominator
        return SetMoments(
            n,
            denominator,
            found.sum.mul_(scale),
            found.sum_of_squares.mul_(scale**2),
            float(total[2]) / denominator,
        )

    def step_gradient(self, samples: SampleSet, moments: SetMoments) -> list[Tensor]:
        """Return the gradient of the set's loss, float64, one tensor a trained parameter.

        With the set's own statistics it goes through them, as that of a training step does.
        """
        if self._norms:
            batches = partial(self._chunks, samples, self._sizes.step, "step")
            with self._explained(samples):
                found = full_batch_gradient(
                    whole(self.model, self._norms), batches, self._numerator_sum, self._trained
                )
            return [part / moments.denominator for part in found]
        parts = torch.split(moments.gradient_sum / moments.n, [p.numel() for p in self._trained])
        return [part.view_as(p) for part, p in zip(parts, self._trained, strict=True)]

    @torch.no_grad()
    def descend(self, gradient: list[Tensor], lr: float) -> None:
        """Take the copy one step θ ← θ − λ g further, rounded once."""
        for parameter, g in zip(self._trained, gradient, strict=True):
            parameter.copy_(parameter.double() - lr * g)

    @torch.no_grad()
    def losses(self, samples: SampleSet, in_order: bool) -> Tensor:
        """Return the losses ℓ_i of the samples that count, [n] float64."""
        numerators, denominators = [], []
        with self._explained(samples):
            for x, y in self._chunks(samples, self._sizes.losses, "losses", in_order):
                outputs = self.model(x)
                numerators.append(self.loss.numerators(outputs, y).double())
                denominators.append(self.loss.denominators(outputs, y))
        a, b = torch.cat(numerators), torch.cat(denominators)
        refuse_not_finite(samples.name, a)
        return (a / b.sum() * (b != 0).sum())[b != 0]

    def why_slow(self) -> str:
        """Say why the network's gradients are not read off one backward pass; empty if they are."""
        if self.method is Method.LAYERWISE:
            return ""
        reasons = [self._what_fails(layerwise_gradients)]
        if self.method is Method.PER_SAMPLE:
            reasons.append(f"nor by torch.func, since {self._what_fails(network_gradients)}")
        return ", ".join(reasons)

    def _what_fails(self, way: Callable[..., object]) -> str:
        try:
            way(copy.deepcopy(self.model), *self._examples, self.loss.numerators, lambda *_: None)
        except NotTappableError as error:
            return str(error)
        except Exception as error:
            return describe_exception(error)
        return "a weight is used outside its layer's call, or a layer does not have samples first"

    def _tried_losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return losses that depend on the outputs even of samples that do not count."""
        squares = outputs.double().square().reshape(len(outputs), -1).sum(1)
        return squares + self.loss.numerators(outputs, y) if self.loss.double else squares

    def _numerator_sum(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.loss.numerators(outputs, y).sum()

    def _chunks(
        self, samples: SampleSet, size: int, what: str, in_order: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through a set, as many samples at a time as fit a pass."""
        with shown(f"{samples.name}: {what}", samples.length, self.settings.progress) as advance:
            for x, y in samples.batches(in_order):
                for part, targets in zip(torch.split(x, size), torch.split(y, size), strict=True):
                    yield self._placed(part, targets)
                    advance(len(part))

    def _placed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        device = self.settings.device
        x = x.detach().to(device, self.dtype if x.is_floating_point() else None)
        return (x.contiguous(memory_format=self._format) if x.dim() == 4 else x), y.to(device)

    def _first_outputs(self, name: str, x: Tensor) -> Tensor:
        """Pass a few samples through the network.

        Raises:
            GsnrError: That fails, or gives no tensor of one output a sample.
        """
        shape = f"{name}: of shape {tuple(x.shape[1:])} and type {x.dtype} each"
        try:
            with torch.no_grad():
                outputs = call("model", self.model, x)
        except UserCodeError as error:
            raise GsnrError(
                f"model: it fails on the first samples ({shape}) with {told(error)}. It is "
                "called as model(x), in evaluation mode."
            ) from error.__cause__
        if not isinstance(outputs, Tensor):
            raise GsnrError(
                f"model: it returns a value of type {type(outputs).__name__}. Networks that return "
                "one tensor [N, ...] are understood: wrap it in a module that returns the part "
                "that the loss is of."
            )
        if not outputs.dim() or len(outputs) != len(x) or not outputs.is_floating_point():
            raise GsnrError(
                f"model: of {len(x)} samples ({shape}) it returns a tensor of shape "
                f"{tuple(outputs.shape)} and type {outputs.dtype}. Floating-point outputs "
                "[N, ...] with the samples first are needed."
            )
        return outputs

    def _hold_against_own_gradient(self, model: nn.Module, x: Tensor, y: Tensor) -> None:
        """Compare the mean of per-sample gradients with the gradient of the user's own loss.

        Raises:
            GsnrError: They differ, or the loss depends on parameters beside the outputs.
        """
        own = [p for p in model.parameters() if p.requires_grad]
        loss = self.loss.whole(self.model(x), y)
        parameters = [*self._trained, *own]
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        if any(g is not None for g in found[len(self._trained) :]):
            raise GsnrError(
                "loss: it depends on the network's parameters beside its outputs (a penalty on "
                "the weights?), which is no part of any sample's loss. Give the loss of (outputs, "
                "targets) alone: a penalty's gradient is the same for all samples, so that it "
                "does not change their variance."
            )
        expected = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten()
                for p, g in zip(self._trained, found, strict=False)
            ]
        ).double()
        moments = gradient_moments(
            self.model, [(x, y)], self.loss.numerators, self.method, signs=False
        )
        with torch.no_grad():
            weight = self.loss.denominators(self.model(x), y).sum()
        if not float(weight):
            return  # none of them counts
        difference = float((moments.sum / weight - expected).norm())
        if not difference <= _TOLERANCE[self.dtype] * max(float(expected.norm()), 1e-30):
            raise GsnrError(
                f"model: the mean of the gradients of {len(x)} samples is not the gradient of "
                f"their loss (they differ by {difference:.2g}, of {float(expected.norm()):.2g}), "
                "so that the numbers would mean nothing. Does the network or the loss detach "
                "something, or change it in place?"
            )

    @contextmanager
    def _explained(self, samples: SampleSet) -> Iterator[None]:
        """Turn what fails in the middle of a set into one paragraph."""
        try:
            yield
        except GsnrError:
            raise
        except torch.OutOfMemoryError as error:
            raise GsnrError(
                f"memory_limit={self.settings.memory_limit}: the memory of "
                f"{self.settings.device} is not enough. Give a smaller one, or a batch_size."
            ) from error
        except Exception as error:
            raise GsnrError(
                f"model: it fails on some samples of {samples.name} ({told(error)}), though not "
                "on the first ones. Are they of another shape?"
            ) from error


def _form(model: nn.Module, x: Tensor, loss: LossFunction) -> tuple[object, ...]:
    """Return what decides which way to a network's gradients is right, to be compared."""
    parameters = [(n, p.shape, p.dtype, p.requires_grad) for n, p in model.named_parameters()]
    return (repr(model), *parameters, x.shape[1:], x.dtype, x.device.type, loss)


def _fits(spread: list[tuple[Tensor, Tensor, Tensor]], outputs: Tensor, y: Tensor) -> bool:
    """Tell whether samples go into one batch with those kept: sequences may differ in length."""
    return not spread or (
        spread[0][0].shape[1:] == outputs.shape[1:] and spread[0][1].shape[1:] == y.shape[1:]
    )
