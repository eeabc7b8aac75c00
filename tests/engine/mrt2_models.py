"""Models of the tests of Magenta RealTime 2: sizes, random weights, and the reference's noise."""

import zlib
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models.contract import Audio, Style
from jackdaw.engine.models.mrt2 import MRT2
from jackdaw.engine.models.mrt2_config import RESERVED, SMALL, MRT2Config, StackConfig
from jackdaw.engine.weights.mrt2_shapes import decoder_shapes, depthformer_shapes, encoder_shapes, quantizer_shapes
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


@cache
def whole() -> dict[str, Any]:
    """Return a small model's tree below ``params``, with the encoder of a codec as narrow as its decoder."""
    shapes = depthformer_shapes(REDUCED) | decoder_shapes(8) | encoder_shapes(4)
    return random_tree(shapes | quantizer_shapes(8, REDUCED.codebook), seed=1)


def style(prompt: str | Audio) -> Style:
    """Stand in for the style model: another vector of unit length for every prompt."""
    if isinstance(prompt, str) and prompt.strip():
        seed = zlib.crc32(prompt.encode())
    elif not isinstance(prompt, str) and len(prompt) >= 4800 and np.any(prompt):
        seed = 1
    else:
        raise ValueError("the prompt is empty: give words, or 0.1 s of sound")
    drawn = np.random.default_rng(seed).normal(size=768)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def tokens(style: Style) -> list[int]:
    """Stand in for the style's quantiser."""
    return [int(1000 * abs(value)) % REDUCED.style_codebook for value in style[: REDUCED.style_levels]]


@cache
def small_mrt2() -> MRT2:
    """Return a Magenta RealTime 2 with small random networks, played by JAX."""
    from jackdaw.engine.runtime.jax_mrt2 import JaxPlayer

    return MRT2(JaxPlayer(whole(), REDUCED), style, tokens)
