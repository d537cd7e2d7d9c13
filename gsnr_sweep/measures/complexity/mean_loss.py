"""The mean loss of a set of samples as a function of a network's parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.parameters import trained_parameters

SampleLosses = Callable[[Tensor, Tensor], Tensor]
"""From outputs [N, ...] in float64 and targets to the losses of the samples, [N]."""


def parameter_vector(model: nn.Module) -> Tensor:
    """Copy a network's trained parameters, those with ``requires_grad``, into one vector.

    Args:
        model: Any network; weights and biases count alike.

    Returns:
        [P] in the order of ``named_parameters``, each tensor in C order, in the parameters' dtype.

    Raises:
        GsnrError: No parameter is trained, or they differ in dtype.
    """
    trained = [p.detach() for p in model.parameters() if p.requires_grad]
    if not trained:
        raise GsnrError(
            "This network has no parameter with requires_grad, so there is nothing to perturb. "
            "Set requires_grad of the parameters that were trained."
        )
    dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in trained})
    if len(dtypes) > 1:
        raise GsnrError(
            f"This network's parameters are in {' and '.join(dtypes)}. They are perturbed as one "
            "vector of one dtype: convert the network, for example with model.double()."
        )
    # Kernels of convolutions may lie in channels-last memory, which no view makes a vector.
    return torch.cat([p.reshape(-1) for p in trained])


class MeanLoss:
    """L̂(w) = (1/m) Σ_i ℓ(f_w(x_i), y_i), w being the trained parameters in one vector [P].

    The network itself is only read: w stands in for its parameters, and copies stand in for its
    buffers. Samples are standardized chunk by chunk. The losses are added up in float64.

    Attributes:
        parameters: [P] the network's own w.
        count: m, the number of samples.
    """

    def __init__(
        self, model: nn.Module, samples: Samples, loss: SampleLosses, chunk_size: int
    ) -> None:
        """Take a network and its samples.

        Args:
            model: In evaluation mode, batch norm already folded.
            samples: m of them.
            loss: Of each sample.
            chunk_size: Samples that pass through the network at once.

        Raises:
            GsnrError: The network has no trained parameter or is in training mode, there is no
                sample, or the chunk size is not positive.
        """
        if any(module.training for module in model.modules()):
            raise GsnrError(
                "This network is in training mode, where dropout and batch norm make the loss "
                "random. Call model.eval() first."
            )
        if not len(samples):
            raise GsnrError("There is no sample to take the mean loss of. Give at least one.")
        if chunk_size < 1:
            raise GsnrError(f"chunk_size={chunk_size}: give a whole number of at least 1.")
        self.parameters = parameter_vector(model)
        self.count = len(samples)
        self._model = model
        self._samples = samples
        self._loss = loss
        self._chunk_size = chunk_size
        self._places = trained_parameters(model)
        self._buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}

    def at_parameters(self) -> float:
        """Return L̂ at the network's own parameters.

        Raises:
            GsnrError: It is not finite.
        """
        value = self.value(self.parameters)
        if not math.isfinite(value):
            raise GsnrError(
                f"The mean loss of this network is {value} before any perturbation, so how it "
                "changes is not defined. Check its parameters and the samples for values that are "
                "not finite."
            )
        return value

    @torch.no_grad()
    def value(self, w: Tensor, rows: Tensor | None = None) -> float:
        """Return L̂(w).

        Args:
            w: [P].
            rows: Numbers of the samples that count; None for all.
        """
        total, count = 0.0, 0
        for x, y in self._chunks(rows):
            total += float(self._losses(w, x, y).sum())
            count += len(x)
        return total / count

    @torch.no_grad()
    def error(self, w: Tensor) -> float:
        """Return the share of misclassified samples; outputs that are not finite count as wrong.

        Args:
            w: [P].
        """
        wrong = 0
        for x, y in self._chunks(None):
            outputs = self._outputs(w, x)
            right = (outputs.argmax(1) == y) & outputs.isfinite().all(1)
            wrong += len(x) - int(right.sum())
        return wrong / self.count

    def gradient(self, w: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return ∇L̂(w), [P].

        Args:
            w: [P].
            rows: Numbers of the samples that count; None for all.
        """
        total, count = torch.zeros_like(w), 0
        for x, y in self._chunks(rows):
            with torch.enable_grad():
                leaf = w.detach().requires_grad_()
                loss = self._losses(leaf, x, y).sum()
            total += torch.autograd.grad(loss, leaf)[0]
            count += len(x)
        return total / count

    def random_rows(self, size: int | None, generator: torch.Generator) -> Tensor | None:
        """Draw a mini-batch without replacement.

        Args:
            size: Samples in it; None for all samples.
            generator: Random numbers, on the CPU.

        Returns:
            [size] numbers of samples, or None for all of them.
        """
        if size is None or size >= self.count:
            return None
        return torch.randperm(self.count, generator=generator)[:size]

    def _chunks(self, rows: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        samples = self._samples
        if rows is not None:
            samples = Samples(samples.x[rows], samples.y[rows], samples.standardization)
        for x, y in samples.chunks(self._chunk_size, self.parameters.dtype):
            yield x.to(self.parameters.device), y.to(self.parameters.device)

    def _outputs(self, w: Tensor, x: Tensor) -> Tensor:
        values = {p.name: w[p.start : p.stop].view(p.shape) for p in self._places}
        outputs: Tensor = functional_call(self._model, {**self._buffers, **values}, (x,))
        return outputs

    def _losses(self, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the losses [N] of some samples in float64."""
        losses = self._loss(self._outputs(w, x).double(), y)
        if losses.shape not in {(len(x),), (len(x), 1)}:
            raise GsnrError(
                f"The loss of {len(x)} samples has the shape {tuple(losses.shape)}. Give a loss "
                "that returns one value for each sample, such as torch.nn's with reduction='none'."
            )
        return losses.reshape(len(x)).double()
