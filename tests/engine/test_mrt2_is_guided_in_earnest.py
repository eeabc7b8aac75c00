"""Classifier-free guidance in branches: none at scale 0, the same for all splits, stronger with its scale."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from mrt2_models import tokens
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Controls
from jackdaw.engine.models.mrt2 import MRT2
from jackdaw.engine.models.mrt2_config import MRT2Config, StackConfig
from jackdaw.engine.runtime.jax_mrt2 import JaxPlayer
from jackdaw.engine.weights.mrt2_shapes import decoder_shapes, depthformer_shapes, quantizer_shapes
from jackdaw.engine.weights.random_mrt2 import random_tree

CONFIG = MRT2Config(
    name="least",
    temporal=StackConfig(layers=1, width=32, hidden=32, heads=2, head_size=16),
    depth=StackConfig(layers=1, width=16, hidden=16, heads=1, head_size=16),
    condition_width=16,
    window=5,
    levels=2,
    codebook=64,
    style_levels=4,
    style_codebook=64,
    style_width=16,
)
STYLE = np.random.default_rng(1).normal(size=768).astype(np.float32)


@cache
def model(branches: tuple[str, ...]) -> MRT2:
    params = random_tree(depthformer_shapes(CONFIG) | decoder_shapes(4) | quantizer_shapes(2, CONFIG.codebook))
    return MRT2(JaxPlayer(params, CONFIG, branches=branches), lambda prompt: STYLE, tokens)


def codes(branches: tuple[str, ...], steps: int = 12, **given: Any) -> NDArray[np.int32]:
    """Return the codes that were chosen."""
    played = model(branches)
    state, found = played.init(2), []
    for _ in range(steps):
        state, _ = played.step(state, Controls(style=STYLE, notes=frozenset({60}), **given), None)
        found.append(state["chosen"][-1])
    return np.stack(found)


def test_guidance_of_none_is_none() -> None:
    still = {"guidance": 0.0, "extra": {"guidance_notes": 0.0}}
    np.testing.assert_array_equal(codes(("style", "notes"), **still), codes((), **still))


def test_guidance_changes_what_is_chosen() -> None:
    strong = {"guidance": 6.0, "extra": {"guidance_notes": 0.0}}
    assert not np.array_equal(codes(("style", "notes"), **strong), codes((), **strong))


def test_a_branch_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="drums"):
        JaxPlayer({}, CONFIG, branches=("tempo",))
