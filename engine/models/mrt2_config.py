"""Sizes of Magenta RealTime 2: what a checkpoint's shapes follow from.

The model is a depthformer. A temporal stack makes one vector a frame out of the frames before it and of the
conditioning; a depth stack turns that vector into the frame's codes, level by level. Constants of the published models
are those of `magenta-rt` 2.0.3; every size can be made smaller, which is what tests do.
"""

from dataclasses import dataclass

__all__ = [
    "BASE",
    "CHANNELS",
    "DRUM_STATES",
    "NOTES",
    "NOTE_STATES",
    "RESERVED",
    "SIZES",
    "SMALL",
    "MRT2Config",
    "StackConfig",
]

RESERVED = 6
"""Ids before the first code in every vocabulary; id 0 starts a stream."""

NOTES = 128
"""Pitches of the piano roll."""

NOTE_STATES = 4
"""Of a pitch: 0 off, 1 sustained, 2 begins, 3 on (the model decides between 1 and 2)."""

DRUM_STATES = 2
"""0 no drums, 1 drums."""

_STEPS = (41, 41, 9)
CHANNELS = NOTES + 1 + len(_STEPS)
"""Channels of the conditioning beside the style: notes, drums, and guidance of style, notes and drums."""

_ROWS = 128
"""The table of the other channels is filled up to a multiple of this."""


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """A stack of transformer blocks: how many, and how wide.

    Parameters
    ----------
    layers
        Blocks.
    width, hidden
        Of the residual stream and of the feed-forward part.
    heads, head_size
        Of the attention.
    """

    layers: int
    width: int
    hidden: int
    heads: int
    head_size: int = 128


@dataclass(frozen=True, kw_only=True)
class MRT2Config:
    """Sizes of one model of the family.

    Parameters
    ----------
    name
        By which users ask for it.
    temporal, depth
        The two stacks.
    condition_width
        Of the vector that a frame's conditioning is embedded as.
    window
        Frames before the present one that a layer of the temporal stack sees, in both of its attentions.
    levels, codebook
        RVQ levels per frame and codes per level.
    style_levels, style_codebook, style_width
        Levels of the style's tokens, codes per level, and width of the table that they are looked up in.
    """

    name: str
    temporal: StackConfig
    depth: StackConfig
    condition_width: int
    window: int
    levels: int = 12
    codebook: int = 1024
    style_levels: int = 12
    style_codebook: int = 1024
    style_width: int = 768

    def __post_init__(self) -> None:
        if self.temporal.width == self.depth.width:
            raise ValueError(f"{self.name}: both stacks are {self.depth.width} wide: the adapter is for two widths")

    @property
    def vocabulary(self) -> int:
        """Rows of the codes' table, and columns of the head."""
        return RESERVED + self.levels * self.codebook

    @property
    def style_rows(self) -> int:
        """Rows of the style's table for one level: its codes, the reserved ids, and one for a token left out."""
        return self.style_codebook + RESERVED + 1

    @property
    def channel_rows(self) -> tuple[int, ...]:
        """Rows of each of the CHANNELS in their common table; guidance has none for a token left out."""
        notes, drums = NOTE_STATES + RESERVED + 1, DRUM_STATES + RESERVED + 1
        return (notes,) * NOTES + (drums,) + tuple(steps + RESERVED for steps in _STEPS)

    @property
    def channel_table(self) -> int:
        """Rows of that table, with those that fill it up."""
        return -(-sum(self.channel_rows) // _ROWS) * _ROWS


SMALL = MRT2Config(
    name="mrt2_small",
    temporal=StackConfig(layers=12, width=1024, hidden=4096, heads=8),
    depth=StackConfig(layers=2, width=768, hidden=3072, heads=6),
    condition_width=256,
    window=41,
)
"""230 million parameters."""

BASE = MRT2Config(
    name="mrt2_base",
    temporal=StackConfig(layers=20, width=3072, hidden=8192, heads=24),
    depth=StackConfig(layers=6, width=1024, hidden=4096, heads=8),
    condition_width=1024,
    window=25,
)
"""2.4 thousand million parameters."""

SIZES = {config.name: config for config in (SMALL, BASE)}
"""The published models by name."""
