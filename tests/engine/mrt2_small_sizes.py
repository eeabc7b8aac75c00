"""A Magenta RealTime 2 that is small enough to be run often: its sizes, and random weights of the official names."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.mrt2_conditioning import channels
from jackdaw.engine.models.mrt2_config import MRT2Config, StackConfig
from jackdaw.engine.weights.mrt2_shapes import decoder_shapes, depthformer_shapes, quantizer_shapes
from jackdaw.engine.weights.random_mrt2 import random_tree

CONFIG = MRT2Config(
    name="small_sizes",
    temporal=StackConfig(layers=3, width=256, hidden=512, heads=2),
    depth=StackConfig(layers=2, width=128, hidden=256, heads=1),
    condition_width=128,
    window=7,
)
FRAMES = 20  # more than two windows


@cache
def params() -> dict[str, Any]:
    return random_tree(depthformer_shapes(CONFIG) | decoder_shapes(width=8) | quantizer_shapes())


def played(frames: int = FRAMES) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Rows of the conditioning, codes, and sampling noise, for a stream that is told something new at every frame."""
    rng = np.random.default_rng(0)
    rows = [
        channels(
            CONFIG,
            rng.integers(0, CONFIG.style_codebook, 12) if frame % 3 else None,
            rng.integers(0, 128, frame % 4),
            drums=(None, False, True)[frame % 3],
            guidance=(frame % 9 - 1.0, 7.0, frame % 8),
        )
        for frame in range(frames)
    ]
    codes = rng.integers(0, CONFIG.codebook, (frames, CONFIG.levels)).astype(np.int32)
    return np.stack(rows), codes, rng.gumbel(size=(frames, CONFIG.levels, CONFIG.codebook)).astype(np.float32)
