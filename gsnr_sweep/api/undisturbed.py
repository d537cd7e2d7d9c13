"""Measuring that leaves what is around it as it was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from gsnr_sweep.api.data import SampleSet
from gsnr_sweep.data.seeding import global_generators_restored


@contextmanager
def undisturbed(device: torch.device, sets: Sequence[SampleSet]) -> Iterator[None]:
    """Compute in ordinary precision with gradients, whatever the caller is in the middle of.

    Random numbers (global ones and the loaders' own) are put back to where they stood, also when
    something fails. Networks are copies, so nothing of theirs need be put back.

    Args:
        device: Where the networks compute.
        sets: Data that will be read.
    """
    states = [(g, g.get_state()) for one in sets for g in one.generators]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        # The transformer's short cut for evaluation has no gradients.
        torch.backends.mha.set_fastpath_enabled(False)
        with (
            global_generators_restored(device),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
            warnings.catch_warnings(),
        ):
            # PyTorch's own, about torch.func and recurrent or attention layers: said by our log.
            warnings.filterwarnings("ignore", "There is a performance drop")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for generator, state in states:
            generator.set_state(state)
