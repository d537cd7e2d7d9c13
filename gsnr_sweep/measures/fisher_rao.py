"""The Fisher–Rao norm of a trained network."""

from __future__ import annotations

from torch import Tensor
from torch.func import functional_call, jvp

from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network

_PASSES = 3.0  # values and tangents through the network, and once more through the loss


@of_network(passes=lambda _: PassCounts(_PASSES))
def fisher_rao(network: TrainedNetwork) -> dict[str, float]:
    """Fisher–Rao norm with the empirical Fisher matrix, batch normalization folded.

    wᵀFw with F = mean of ∇ℓ_i ∇ℓ_iᵀ is the mean of ⟨w, ∇_w ℓ_i⟩², the squared derivative of a
    sample's loss when all weights grow by the same factor: one pass in forward mode, no gradient of
    a sample by itself. For d layers without biases ⟨w, ∇_w ℓ_i⟩ = d ⟨∂ℓ_i/∂f, f⟩, so Jiang et al.
    2020's factor (d + 1)² differs from this by a constant of the architecture.

    Returns:
        ``fisher_rao`` = mean ⟨w, ∇_w ℓ_i⟩², and ``fisher_rao_outputs`` = mean ⟨∂ℓ_i/∂f, f⟩².
    """
    model = network.folded
    weights = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())
    by_weights = by_outputs = 0.0
    for x, y in network.samples.chunks(network.chunk_size, network.dtype):

        def losses(w: dict[str, Tensor], x: Tensor = x, y: Tensor = y) -> tuple[Tensor, Tensor]:
            outputs = functional_call(model, {**buffers, **w}, (x,)).double()
            return network.loss(outputs, y), outputs

        def of_outputs(outputs: Tensor, y: Tensor = y) -> Tensor:
            return network.loss(outputs, y)

        along = jvp(losses, (weights,), (weights,))
        outputs = along[0][1]
        alone = jvp(of_outputs, (outputs,), (outputs,))
        by_weights += float(along[1][0].double().square().sum())
        by_outputs += float(alone[1].double().square().sum())
    count = len(network.samples)
    return {"fisher_rao": by_weights / count, "fisher_rao_outputs": by_outputs / count}
