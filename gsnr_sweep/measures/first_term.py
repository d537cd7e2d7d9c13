"""Whether the first term of eq. (28) decides how gradients change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gsnr_sweep.gradients.forward_hooks import listening
from gsnr_sweep.gradients.parameters import Parameter, trained_parameters
from gsnr_sweep.measures.ratio import correlation, finite_mean
from gsnr_sweep.measures.requires import require, requires
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot

MOST_WEIGHTS = 256
"""Weights of a layer for which the term is computed: each takes a backward pass of its own."""
_AT_ONCE = 64


@dataclass(frozen=True)
class LayerTerms:
    """The first term for some weights of one layer.

    Attributes:
        layer: Dotted name.
        places: [K] of the weights among the flattened parameters.
        terms: [K] first term over λ, that is −W/n² Σ_j (Σ_i ∂L_i/∂o_i,c ∂a_i,s/∂θ_j)².
    """

    layer: str
    places: Tensor
    terms: Tensor


def compute_first_terms(replica: Replica, followed: tuple[Parameter, ...] = ()) -> list[LayerTerms]:
    """Compute the first term of eq. (28) for each linear layer that has trained layers before it.

    Σ_i ∂L_i/∂o_i,c ∂a_i,s/∂θ_j is the gradient by θ_j of Σ_i δ_i,c a_i,s with δ_i,c = ∂L_i/∂o_i,c
    held fixed: one backward pass for each weight (s, c). Of a layer with more than `MOST_WEIGHTS`
    weights a random sample is taken, the same at every epoch and in every replica.

    Args:
        replica: At the weights θ_t; any network, fully connected from the layer on.
        followed: Not used.
    """
    del followed
    model = replica.model
    places = {p.name: p.start for p in trained_parameters(model)}
    found = []
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and layer.weight.requires_grad:
            chosen = _sample(layer.weight.numel())
            squares = _squared_norms(replica, layer, chosen)
            if squares is not None:
                weights = layer.weight.detach().flatten()[chosen].double()
                terms = -weights * squares / len(replica.train) ** 2
                start = places[f"{name}.weight" if name else "weight"]
                found.append(LayerTerms(name or "model", chosen.cpu() + start, terms.cpu()))
    return found


@requires(gradient_change=True, probe=compute_first_terms, probe_passes=2.0 * MOST_WEIGHTS)
def first_term(snapshot: Snapshot) -> dict[str, float]:
    """Compare the first term of eq. (28) with the whole change Δg (Liu et al. 2020, B, eq. 34).

    The paper argues that this term, whose sign is opposite to the weight's, makes Δg negatively
    correlated with W; here it is computed.

    Returns:
        Over the weights for which it was computed, averaged over the replicas, for each layer:
        ``first_term_same_sign/LAYER``, the share where Δg has the term's sign;
        ``first_term_corr/LAYER``, Pearson's correlation of the two; ``first_term_size/LAYER``,
        Σ |term| / Σ |Δg|. Without ``/LAYER``: the means over the layers.
    """
    change = require(snapshot.next_gradient) - require(snapshot.step_gradient)
    per_replica: list[list[LayerTerms]] = snapshot.probed["first_term"]
    collected: dict[str, list[float]] = {}
    for row, layers in zip(change, per_replica, strict=True):
        for layer in layers:
            for name, value in _compare(snapshot.lr * layer.terms, row[layer.places]).items():
                collected.setdefault(f"{name}/{layer.layer}", []).append(value)
    values = {name: finite_mean(found) for name, found in collected.items()}
    for name in ("first_term_same_sign", "first_term_corr", "first_term_size"):
        own = [value for key, value in values.items() if key.startswith(f"{name}/")]
        if own:
            values[name] = finite_mean(own)
    return values


def _compare(terms: Tensor, change: Tensor) -> dict[str, float]:
    signed = (terms != 0) & (change != 0)
    same = (terms.sign() == change.sign())[signed]
    total = float(change.abs().sum())
    return {
        "first_term_same_sign": float(same.double().mean()) if same.numel() else math.nan,
        "first_term_corr": correlation(terms, change),
        "first_term_size": float(terms.abs().sum()) / total if total else math.nan,
    }


def _sample(count: int) -> Tensor:
    if count <= MOST_WEIGHTS:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:MOST_WEIGHTS].sort().values


def _squared_norms(replica: Replica, layer: nn.Linear, chosen: Tensor) -> Tensor | None:
    """Return Σ_j (Σ_i δ_i,c ∂a_i,s/∂θ_j)² for some weights [K].

    None without earlier parameters, and for a layer that is called with more than one vector a
    sample.
    """
    norms = []
    for block in torch.split(chosen, _AT_ONCE):
        outputs, inputs = block // layer.in_features, block % layer.in_features
        total: list[Tensor] = []
        for features, deltas, earlier in _passes(replica, layer):
            vectors = _pulled_back(features, deltas, earlier, inputs, outputs)
            if not vectors:
                return None
            wide = [vector.double() for vector in vectors]
            total = [a + b for a, b in zip(total, wide, strict=True)] if total else wide
        norms.append(torch.stack([v.square().flatten(1).sum(1) for v in total]).sum(0))
    return torch.cat(norms)


def _passes(
    replica: Replica, layer: nn.Linear
) -> Iterator[tuple[Tensor, Tensor, list[nn.Parameter]]]:
    """Yield, chunk by chunk, the layer's inputs with their graph, ∂L_i/∂o, and all parameters."""
    trained = [p for p in replica.model.parameters() if p.requires_grad]
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        seen.append((inputs[0], output))

    for x, y in replica.batches():
        seen.clear()
        with torch.enable_grad(), listening([layer], keep):
            loss = replica.sample_losses(replica.model(x), y).sum()
        features, outputs = seen[0]
        (deltas,) = torch.autograd.grad(loss, outputs, retain_graph=True)
        yield features, deltas, trained


def _pulled_back(
    features: Tensor, deltas: Tensor, earlier: list[nn.Parameter], inputs: Tensor, outputs: Tensor
) -> list[Tensor]:
    """Return Σ_i δ_i,c ∂a_i,s/∂θ of some weights (s, c), [K, *shape] for each earlier parameter."""
    if not features.requires_grad or features.dim() != 2:
        return []
    rows = torch.arange(len(inputs))
    cotangents = torch.zeros(len(inputs), *features.shape, dtype=features.dtype)
    cotangents = cotangents.to(features.device)
    cotangents[rows, :, inputs] = deltas[:, outputs].T
    found = torch.autograd.grad(
        features,
        earlier,
        grad_outputs=cotangents,
        is_grads_batched=True,
        retain_graph=True,
        allow_unused=True,
    )
    return [vector for vector in found if vector is not None]
