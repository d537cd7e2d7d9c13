"""Places of a network's trained parameters in one flat vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError


@dataclass(frozen=True)
class Parameter:
    """A parameter tensor's place among the flattened parameters.

    Attributes:
        name: Dotted name, such as ``fc2.weight``.
        start: First element.
        stop: One past the last.
        shape: Of the tensor.
    """

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]

    @property
    def layer(self) -> str:
        """Dotted name of the module that owns it."""
        return self.name.rpartition(".")[0] or "model"

    @property
    def is_weight(self) -> bool:
        """Whether it is a matrix or a kernel, not a bias or a gain."""
        return len(self.shape) > 1


MOST_FOLLOWED = 2000
"""Parameters that can be followed one by one: each is a number in a run's record at each epoch."""


def layers_of(parameters: Sequence[Parameter]) -> dict[str, slice]:
    """Return the places of the modules that own parameters, in order, by dotted name."""
    return {
        name: slice(own[0].start, own[-1].stop)
        for name, group in groupby(parameters, lambda p: p.layer)
        for own in [list(group)]
    }


def trained_parameters(model: nn.Module) -> tuple[Parameter, ...]:
    """List the trained parameters with their places, in the order of ``named_parameters``."""
    found: list[Parameter] = []
    place = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            stop = place + parameter.numel()
            found.append(Parameter(name, place, stop, tuple(parameter.shape)))
            place = stop
    return tuple(found)


def followed_parameters(
    parameters: Sequence[Parameter], names: Sequence[str]
) -> tuple[Parameter, ...]:
    """Return the parameters that some names stand for: a parameter's own, or its layer's.

    Raises:
        GsnrError: A name stands for no trained parameter, or they are too many to follow.
    """
    found = []
    for name in names:
        own = [p for p in parameters if p.name == name or p.name.startswith(f"{name}.")]
        if not own:
            known = ", ".join(p.name for p in parameters)
            raise GsnrError(
                f"measures.parameters: {name!r} is no trained parameter or layer of this network. "
                f"There is: {known}."
            )
        found += [p for p in own if p not in found]
    total = sum(p.stop - p.start for p in found)
    if total > MOST_FOLLOWED:
        raise GsnrError(
            f"measures.parameters={list(names)} stands for {total} parameters; at most "
            f"{MOST_FOLLOWED} can be followed one by one. Name smaller layers: means over all "
            "layers are measured in any case."
        )
    return tuple(found)


def row_views(row: Tensor, parameters: Sequence[Parameter]) -> list[Tensor]:
    """Return the trained parameters in a row [P] of a stack, as contiguous views of it.

    Args:
        row: One replica's weights or gradient.
        parameters: Places in a row, in the order of ``named_parameters``.

    Returns:
        One tensor a trained parameter, of its shape.
    """
    return [row[p.start : p.stop].view(p.shape) for p in parameters]


def row_of(model: nn.Module, parameters: Sequence[Parameter]) -> Tensor:
    """Return a network's trained parameters as one row [P]."""
    trained = dict(model.named_parameters())
    return torch.cat([trained[p.name].detach().flatten() for p in parameters])
