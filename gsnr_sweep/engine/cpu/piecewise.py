"""Batch normalization with the statistics of a set too large for one pass, in lanes.

The network is cut at normalizations, as in `gsnr_sweep.gradients.parts`: of all samples the
convolutions' outputs are kept there and, going backward, the gradients by the activations after
them. The samples go through a piece chunk by chunk, once forward and once more forward and
backward, and once more of each for every further normalization within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.cpu.conv_block import ChannelSums, ConvBlock
from gsnr_sweep.engine.cpu.layout import Lanes, MomentOrder, Sums, Workspace
from gsnr_sweep.engine.cpu.network import ExplicitNetwork
from gsnr_sweep.engine.cpu.stage import PassContext
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode
from gsnr_sweep.gradients.cutting import Cutting, Place
from gsnr_sweep.losses.loss import Loss

_BYTES = 4
_FORWARD, _BOTH_WAYS = "kept forward", "kept both ways"
"""Names of memory. Each fills the room there is: one is given back before the other is taken."""


def cutting_of(network: ExplicitNetwork, example: Tensor, memory: Workspace) -> Cutting | None:
    """Say where an explicit network can be cut; None if a stage normalizes within itself.

    Each stage has two operations: its convolution, at an even position, and what follows.

    Args:
        network: The network.
        example: [N, ...] inputs.
        memory: To be used in passing.
    """
    if any(stage.norms and not isinstance(stage, ConvBlock) for stage in network.stages):
        return None
    run = network.context(memory, Mode.FIXED)
    h = network.enter(Samples(example, torch.zeros(len(example))), run, 0)
    costs: list[float] = []
    places: list[Place] = []
    for number, stage in enumerate(network.stages):
        before = h
        h = network.go(h, run, number, number + 1)
        weights = sum(p.numel() for p in stage.parameters if p is not None)
        costs += [float(weights * before.height * before.width), float(_size(h))]
        if isinstance(stage, ConvBlock) and stage.norm is not None:
            kept = _BYTES * _size(stage.kept(run).z)
            places.append(Place(2 * number + 1, {number: kept}, _BYTES * _size(h)))
    normalizing = [place.position for place in places]
    return Cutting(costs, normalizing, places)


def _size(images: Lanes) -> int:
    """Values of one sample."""
    return images.channels * images.height * images.width


@dataclass(frozen=True)
class _Piece:
    """From what follows one stage's convolution to another stage's convolution.

    Attributes:
        start: Number of the stage whose activation comes first; −1 for the input.
        end: Number of the stage whose convolution comes last; that of all stages for the head.
    """

    start: int
    end: int

    @property
    def middle(self) -> range:
        """The whole stages between."""
        return range(self.start + 1, self.end)


class PiecewisePasses:
    """Passes of one network over one set."""

    def __init__(
        self,
        network: ExplicitNetwork,
        samples: Samples,
        size: int,
        places: Sequence[Place],
        memory: Workspace,
    ) -> None:
        """Prepare.

        Args:
            network: The network.
            samples: The set.
            size: Samples in a chunk, at most; whole blocks are taken.
            places: Where to cut, of `cutting_of`.
            memory: For the chunks.
        """
        self._network, self._samples, self._memory = network, samples, memory
        self._size = max(1, size // memory.lanes) * memory.lanes
        stages = [place.position // 2 for place in places]
        bounds = [-1, *stages, len(network.stages)]
        self._pieces = [_Piece(start, end) for start, end in pairwise(bounds)]
        self._kept: dict[int, Lanes] = {}  # a stage's convolution's output
        self._totals: dict[FullBatchNorm, Tensor] = {}

    def _chunks(self) -> Iterator[tuple[Samples, slice]]:
        """Go through the set: samples, and the blocks in which they lie."""
        first = 0
        for part in self._samples.parts(self._size):
            blocks = -(-len(part) // self._memory.lanes)
            yield part, slice(first, first + blocks)
            first += blocks

    def _run(self) -> PassContext:
        run = self._network.context(self._memory, Mode.FIXED)
        run.totals.update(self._totals)
        return run

    def _block(self, stage: int) -> ConvBlock:
        return cast(ConvBlock, self._network.stages[stage])

    def _reach(
        self, piece: _Piece, part: Samples, blocks: slice, run: PassContext, end: int
    ) -> Lanes:
        """Go from a piece's start to the input of one of its stages."""
        if piece.start < 0:
            return self._network.enter(part, run, end)
        z = _of_blocks(self._kept[piece.start], blocks, len(part))
        border = self._network.border_of(piece.start + 1)
        h = self._block(piece.start).activate(z, run, border)
        return self._network.go(h, run, piece.start + 1, end)

    @torch.no_grad()
    def set_statistics(self, forward_only: bool = False) -> None:
        """Set every layer's statistics to the set's at the present weights.

        Args:
            forward_only: Whether nothing is kept that no later piece needs.
        """
        self._memory.free(_BOTH_WAYS if forward_only else _FORWARD)
        for number, piece in enumerate(self._pieces):
            for stage in piece.middle:
                if self._network.stages[stage].norms:
                    self._convolve(piece, stage)
            if piece.end < len(self._network.stages):
                name = f"{_FORWARD} {number % 2}" if forward_only else f"{_BOTH_WAYS} {number}"
                self._convolve(piece, piece.end, name)
            if forward_only:
                self._kept.pop(piece.start, None)

    def _convolve(self, piece: _Piece, stage: int, name: str = "") -> None:
        """Set a stage's statistics from its convolution's outputs; keep these under a name."""
        block, sums, kept = self._block(stage), None, None
        for part, blocks in self._chunks():
            run = self._run()
            z = block.convolve(self._reach(piece, part, blocks, run, stage), run)
            if name:
                kept = kept or self._room_for(z, name)
                kept.data[blocks] = z.inside
            sums = sums or ChannelSums(z.channels)
            sums.add(z, run)
        assert sums is not None
        assert block.norm is not None
        sums.set_statistics(block.norm)
        if kept is not None:
            self._kept[stage] = kept

    def _room_for(self, images: Lanes, name: str) -> Lanes:
        """Return memory for such images of all samples, without a border; the next step's, too."""
        total = sum(-(-len(part) // self._memory.lanes) for part, _ in self._chunks())
        shape = (total, images.channels, images.height, images.width, self._memory.lanes)
        data = self._memory.take(name, shape, torch.float32)
        return Lanes(data, len(self._samples), 0, images.height, images.width)

    @torch.no_grad()
    def gradient(self, loss: Loss, parameters: Sequence[torch.nn.Parameter]) -> list[Tensor]:
        """Return the gradient of the summed loss through the set's statistics, float64.

        Args:
            loss: Of each sample.
            parameters: Those that are trained.
        """
        self.set_statistics()
        sums = Sums(parameters, MomentOrder.GRADIENT)
        above: Lanes | None = None  # gradient by the activation of the stage at the piece's end
        for number, piece in reversed(list(enumerate(self._pieces))):
            for stage in reversed(piece.middle):
                if self._network.stages[stage].norms:
                    self._sum_normalization(piece, stage, above, loss)
            above = self._go_back(piece, above, loss, sums, f"{_BOTH_WAYS} gradient {number % 2}")
        return sums.gradients()

    def _sum_normalization(
        self, piece: _Piece, stage: int, above: Lanes | None, loss: Loss
    ) -> None:
        """Sum over the set what goes through the statistics of a stage within a piece."""
        block, nothing = self._block(stage), Sums([], MomentOrder.GRADIENT)
        for part, blocks in self._chunks():
            run = self._run()
            g = self._pulled(piece, part, blocks, run, stage, above, loss, nothing)
            assert g is not None
            self._add_total(block, block.normalization_sums(g, run, nothing))

    def _add_total(self, block: ConvBlock, found: Tensor) -> None:
        assert block.norm is not None
        before = self._totals.get(block.norm)
        self._totals[block.norm] = found if before is None else before + found

    def _go_back(
        self, piece: _Piece, above: Lanes | None, loss: Loss, sums: Sums, name: str
    ) -> Lanes | None:
        """Add to the parameters' sums; return the gradient by the first activation of the piece."""
        below: Lanes | None = None
        for part, blocks in self._chunks():
            run = self._run()
            g = self._pulled(piece, part, blocks, run, piece.start, above, loss, sums)
            if piece.start >= 0:
                assert g is not None
                block = self._block(piece.start)
                self._add_total(block, block.normalization_sums(g, run, sums))
                below = below or self._room_for(g, name)
                below.data[blocks] = g.inside
        return below

    def _pulled(
        self,
        piece: _Piece,
        part: Samples,
        blocks: slice,
        run: PassContext,
        down_to: int,
        above: Lanes | None,
        loss: Loss,
        sums: Sums,
    ) -> Lanes | None:
        """Return the gradient by the output of a stage of a piece; None for the network's input."""
        network = self._network
        h = self._reach(piece, part, blocks, run, piece.end)
        wanted = piece.end - 1 > down_to or down_to >= 0
        if above is None:
            done = network.leave(h, run)
            g = network.leave_backward(done, loss.output_gradient(done.outputs, part.y), sums, True)
        else:
            block = self._block(piece.end)
            block.activate(_of_blocks(self._kept[piece.end], blocks, len(part)), run, 0)
            of_y = _of_blocks(above, blocks, len(part))
            dz = block.through_normalization(of_y, h, run)
            g = block.convolution_backward(dz, h, run, sums, wanted)
        for stage in reversed(range(down_to + 1, piece.end)):
            assert g is not None
            g = network.stages[stage].backward(g, run, sums, stage > 0)
        return g


def _of_blocks(images: Lanes, blocks: slice, n: int) -> Lanes:
    return Lanes(images.data[blocks], n, images.border, images.height, images.width)
