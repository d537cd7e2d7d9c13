"""Networks that users bring and the tool has not: attention and recurrence."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.workloads import TOKENS

_HEADS, _BLOCKS, _PATCH, _CLASSES = 4, 2, 7, 10


class Attention(nn.Module):
    """Self-attention out of linear layers, as timm writes it."""

    def __init__(self, width: int) -> None:
        """Build one layer for queries, keys and values, one for the result."""
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the patches [N, patches, width]."""
        n, patches, width = x.shape
        heads = self.qkv(x).reshape(n, patches, 3, _HEADS, width // _HEADS)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(n, patches, width))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A block of a transformer that normalizes first."""

    def __init__(self, width: int) -> None:
        """Build the block."""
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add attention, then a layer of its own for each patch."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """Patches of 7×7, two blocks, the mean over patches."""

    def __init__(self, width: int, blocks: nn.Module) -> None:
        """Put it together.

        Args:
            width: Of a patch's features.
            blocks: What mixes them, [N, patches, width] to the same.
        """
        super().__init__()
        self.patches = nn.Conv2d(1, width, _PATCH, _PATCH)
        self.blocks = blocks
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(patches)).mean(1))  # type: ignore[no-any-return]


def attention(ch: int) -> nn.Module:
    """Build a vision transformer whose attention is written in linear layers."""
    return VisionTransformer(ch, nn.Sequential(*[Block(ch) for _ in range(_BLOCKS)]))


def encoder(ch: int) -> nn.Module:
    """Build a vision transformer of PyTorch's own encoder layers (`nn.MultiheadAttention`)."""
    layer = nn.TransformerEncoderLayer(
        ch, _HEADS, 4 * ch, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return VisionTransformer(ch, nn.TransformerEncoder(layer, _BLOCKS, enable_nested_tensor=False))


class Sentence(nn.Module):
    """An LSTM over embedded tokens, its last state classified."""

    def __init__(self, width: int) -> None:
        """Build embedding, LSTM and classifier."""
        super().__init__()
        self.embed = nn.Embedding(TOKENS, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, _CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Classify sequences [N, length]."""
        return self.head(self.lstm(self.embed(tokens))[0][:, -1])  # type: ignore[no-any-return]


def lstm(ch: int) -> nn.Module:
    """Build an LSTM that classifies sequences."""
    return Sentence(ch)
