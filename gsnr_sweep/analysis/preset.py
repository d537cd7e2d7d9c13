"""Which experiment of a paper a sweep is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

LHS_RHS = "lhs_rhs"
"""The figure of every sweep: both sides of eq. (19); drawn with the sweep's statistics."""


@dataclass(frozen=True)
class Preset:
    """What a sweep was launched as.

    It belongs to the sweep, not to its runs: a sweep may reuse runs of another experiment.

    Attributes:
        name: As in ``experiment=NAME``; empty for none.
        scale: As in ``scale=NAME``; empty for none.
        figures: Names or dotted paths of the figures to draw.
        claims: Dotted paths of the user's own claims to judge.
        paper_curves: Whether figures also show the paper's own curves, where these are known.
    """

    name: str = ""
    scale: str = ""
    figures: tuple[str, ...] = (LHS_RHS,)
    claims: tuple[str, ...] = ()
    paper_curves: bool = False

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """Read the config section ``preset``; an empty one stands for no experiment."""
        name = str(section.get("name") or "")
        scale = str(section.get("scale") or "") if name else ""
        figures = tuple(section.get("figures") or (LHS_RHS,))
        claims = tuple(section.get("claims") or ())
        return cls(name, scale, figures, claims, bool(section.get("paper_curves")))

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Read what `as_json` wrote; anything else stands for no experiment."""
        try:
            return cls.of(json.loads(text))
        except (ValueError, AttributeError, TypeError):
            return cls()

    def as_json(self) -> str:
        """Write the preset as text, for a tag."""
        return json.dumps(asdict(self))
