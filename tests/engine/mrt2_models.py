"""Models of the tests of Magenta RealTime 2: sizes, random weights, and the reference's noise."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models.mrt2_config import RESERVED, SMALL, MRT2Config, StackConfig
from jackdaw.engine.weights.mrt2_shapes import depthformer_shapes
from jackdaw.engine.weights.random_mrt2 import random_tree

GOLDENS = Path(__file__).parent / "goldens"

REDUCED = MRT2Config(
    name="reduced",
    temporal=StackConfig(layers=3, width=64, hidden=96, heads=2, head_size=16),
    depth=StackConfig(layers=2, width=48, hidden=80, heads=3, head_size=16),
    condition_width=24,
    window=9,
    levels=5,
    codebook=128,
    style_levels=4,
    style_codebook=64,
    style_width=32,
)
CONFIGS = {"reduced": REDUCED, "small": SMALL}


@cache
def network(name: str) -> tuple[MRT2Config, dict[str, Any]]:
    """Return sizes and random weights: ``encoder``, and ``decoder`` with its head cut by level."""
    config = CONFIGS[name]
    tree = random_tree(depthformer_shapes(config), seed=1)["depthformer"]
    return config, {"encoder": tree["encoder"], "decoder": depthformer.prepared(tree["decoder"], config)}


@cache
def golden(name: str) -> dict[str, NDArray[Any]]:
    """Return what the reference computed."""
    with np.load(GOLDENS / f"mrt2_{name}.npz") as file:
        return {key: file[key] for key in file.files}


def before(codes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return for each frame the codes of the one before."""
    first = np.full((1, codes.shape[1]), depthformer.NOTHING)
    return np.concatenate([first, codes[:-1]]).astype(np.int32)


@partial(jax.jit, static_argnums=0)
def _drawn(config: MRT2Config, key: jax.Array, frame: jax.Array) -> tuple[jax.Array, jax.Array]:
    rows = []
    for level in range(config.levels):
        noise = jax.random.gumbel(key, (config.vocabulary,), jnp.float32)
        rows.append(noise[RESERVED + level * config.codebook :][: config.codebook])
        key = jax.random.fold_in(key, frame)
    return key, jnp.stack(rows)


def reference_noise(config: MRT2Config, key: NDArray[np.uint32], frames: int) -> list[jax.Array]:
    """Return the noise (levels, codebook) of each frame that the reference draws, of the columns that can win."""
    found, following = [], jnp.asarray(key)
    for frame in range(frames):
        following, noise = _drawn(config, following, jnp.int32(frame))
        found.append(noise)
    return found
