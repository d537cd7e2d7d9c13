"""A fully connected ReLU network as a chain of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError

_NEEDED = (
    "The conditions of Theorem 1 are about fully connected ReLU networks: an nn.Sequential in "
    "which Linear and ReLU alternate, beginning and ending with Linear, with Flatten, Dropout or "
    "Identity between them"
)


@dataclass(frozen=True, eq=False)
class ReluNetwork:
    """f_w(x) = W_d D_{d−1} W_{d−1} … D_1 W_1 x, with biases where the layers have them.

    Attributes:
        weights: d matrices W_i [h_i, h_{i−1}].
        biases: d vectors [h_i], or None.
        flattens: Whether inputs of several dimensions are flattened first.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor | None]
    flattens: bool = False

    @staticmethod
    def of(model: nn.Module, dtype: torch.dtype) -> ReluNetwork:
        """Read the matrices of a network; Dropout counts as off.

        Args:
            model: `nn.Sequential` of Linear layers with a ReLU between any two; Flatten, Dropout
                and Identity may stand between them, and a part may be an `nn.Sequential` itself.
            dtype: To convert the matrices to.

        Raises:
            GsnrError: It is something else.
        """
        layers: list[nn.Linear] = []
        after_relu = flattens = False
        for name, module in model.named_modules(remove_duplicate=False):
            kind = type(module)
            if isinstance(module, nn.Linear):
                if layers and not after_relu:
                    raise GsnrError(
                        f"No ReLU stands between {name} and the layer before it. {_NEEDED}."
                    )
                layers.append(module)
                after_relu = False
            elif isinstance(module, nn.ReLU):
                if not layers:
                    raise GsnrError(f"{name} (ReLU) stands before any Linear layer. {_NEEDED}.")
                after_relu = True
            elif isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
                flattens |= not layers
            elif kind.forward is not nn.Sequential.forward and not isinstance(
                module, nn.Dropout | nn.Identity
            ):
                raise GsnrError(f"{name or 'The network'} is a {kind.__name__}. {_NEEDED}.")
        if len(layers) < 2 or after_relu:
            found = "It ends with a ReLU" if after_relu else f"It has {len(layers)} Linear layers"
            raise GsnrError(f"{found}; two or more are needed, the last without ReLU. {_NEEDED}.")
        return ReluNetwork(
            [layer.weight.detach().to(dtype) for layer in layers],
            [None if layer.bias is None else layer.bias.detach().to(dtype) for layer in layers],
            flattens,
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """h_0, …, h_d."""
        return (self.weights[0].shape[1], *(len(w) for w in self.weights))

    def inputs(self, samples: Samples) -> Tensor:
        """Return the inputs of all samples, [N, h_0], where the matrices are.

        Raises:
            GsnrError: There are none, or they have another size.
        """
        first = self.weights[0]
        x = samples.batch(0, len(samples), first.dtype)[0].to(first)
        shape = tuple(x.shape)
        x = x.flatten(1) if self.flattens and x.ndim > 1 else x
        if not len(x) or x.shape[1:] != first.shape[1:]:
            raise GsnrError(
                f"The samples have the shape {shape}. Give at least one, of {first.shape[1]} "
                "values, which is what the first Linear layer takes; images need a Flatten first."
            )
        return x

    def pre_activations(self, x: Tensor) -> list[Tensor]:
        """Return what each layer computes before its ReLU; the last are the outputs.

        Args:
            x: [N, h_0].

        Returns:
            d tensors [N, h_i].
        """
        found = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            found.append(nn.functional.linear(x, weight, bias))
            x = found[-1].relu()
        return found

    def perturbed(self, noise: Sequence[Tensor], gamma: float) -> ReluNetwork:
        """Return the network of W_i + σ_i · noise_i, σ_i = γ ‖W_i‖_F / √(h_i h_{i−1}).

        Args:
            noise: d matrices of standard normal numbers.
            gamma: γ; the perturbation of a layer then has about γ times the layer's norm.
        """
        weights = [
            w + gamma * (w.double().norm() / w.numel() ** 0.5).to(w) * n
            for w, n in zip(self.weights, noise, strict=True)
        ]
        return ReluNetwork(weights, self.biases, self.flattens)
