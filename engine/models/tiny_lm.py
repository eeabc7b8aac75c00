"""Language model of the bundled model: from the frames played so far to the codes of the next one.

A causal transformer runs along time (25 frames a second); for each frame, a small network per RVQ level then goes
from coarse to fine: it sees the transformer's output and the sum of the embeddings of the levels already chosen. What
steers a frame (style, musical time, chord) is one vector, :func:`condition`; a part that is not given is all zeros, so
"masked" and "absent" are the same thing.

Invariants: attention reaches back `window` frames, this one included, in every layer. Keys carry a rotary phase whose
frequencies are whole numbers of turns per `period` frames, so that positions count modulo `period` and a stream never
ends; the ring of keys and values is part of the state, which is a value. :func:`forward` over a sequence and
:func:`step` frame by frame give the same logits. Sampling noise is an input, a function of (seed, frame) alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Chord, Clock, Style

__all__ = [
    "CHORD_DIMS",
    "CHORD_TONES",
    "CLOCK_DIMS",
    "CONDITION_SIZE",
    "NOTHING",
    "STYLE_DIMS",
    "LMConfig",
    "condition",
    "forward",
    "init_params",
    "init_state",
    "level_logits",
    "sampling_noise",
    "step",
]

NOTHING = -1
"""As every code of a frame: nothing has been played yet."""

STYLE_DIMS, CLOCK_DIMS, CHORD_DIMS = 129, 9, 24
CONDITION_SIZE = STYLE_DIMS + CLOCK_DIMS + CHORD_DIMS

CHORD_TONES: Mapping[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "dim": (0, 3, 6),
}
"""Semitones above the root, for the qualities of :class:`~jackdaw.engine.models.contract.Chord`."""


@dataclass(frozen=True, kw_only=True)
class LMConfig:
    """Sizes.

    Parameters
    ----------
    levels, codebook
        RVQ levels per frame and codes per level.
    layers, width, heads
        Of the transformer along time.
    depth_width, depth_hidden
        Width of the code embeddings and of the per-level networks, and of their hidden layer.
    window
        Frames that a layer sees, this one included.
    period
        Frames of the slowest rotary phase; more than twice the window.
    """

    levels: int = 6
    codebook: int = 1024
    layers: int = 5
    width: int = 256
    heads: int = 8
    depth_width: int = 192
    depth_hidden: int = 384
    window: int = 200
    period: int = 1024

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} does not split into {self.heads} heads of even size")
        if self.period <= 2 * self.window:
            raise ValueError(f"period {self.period} must be more than twice the window of {self.window} frames")


def condition(
    style: Style | None = None, clock: Clock | None = None, chord: Chord | None = None
) -> NDArray[np.float32]:
    """Put what steers one frame into one vector.

    Parameters
    ----------
    style
        Unit vector of 128 dimensions, or None.
    clock
        Musical time at the frame's first sample, or None.
    chord
        Harmony of the frame, or None.

    Returns
    -------
    ndarray
        Float32, shape (CONDITION_SIZE,); parts that are not given are zero.

    Raises
    ------
    ValueError
        If the style has another size, or the chord's quality is unknown.
    """
    out = np.zeros(CONDITION_SIZE, np.float32)
    if style is not None:
        if style.shape != (STYLE_DIMS - 1,):
            raise ValueError(f"a style has shape {(STYLE_DIMS - 1,)}, not {style.shape}; embed it with this model")
        out[: STYLE_DIMS - 1] = style * np.sqrt(STYLE_DIMS - 1)
        out[STYLE_DIMS - 1] = 1.0
    if clock is not None:
        beat, bar = 2 * np.pi * clock.beat, 2 * np.pi * clock.beat / clock.beats_per_bar
        waves = [wave(angle) for angle in (beat, 2 * beat, bar) for wave in (np.sin, np.cos)]
        out[STYLE_DIMS : STYLE_DIMS + CLOCK_DIMS] = [
            1.0, 2.0 * np.log2(clock.bpm / 120.0), *waves, clock.beats_per_bar - 3.5,
        ]  # fmt: skip
    if chord is not None:
        if chord.quality not in CHORD_TONES:
            raise ValueError(f"chord quality {chord.quality!r} is unknown; give one of {', '.join(CHORD_TONES)}")
        start = STYLE_DIMS + CLOCK_DIMS
        out[start + chord.root % 12] = 2.0
        for tone in CHORD_TONES[chord.quality]:
            out[start + 12 + (chord.root + tone) % 12] = 1.0
    return out


def _rotation(config: LMConfig, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines, shape (positions, 1, half a head); frequencies are whole turns per period."""
    half = config.width // config.heads // 2
    turns = np.unique(np.rint(np.geomspace(1.0, config.period / (2 * np.pi), half)).astype(np.int32))
    turns = np.concatenate([turns, turns[-1] + 1 + np.arange(half - len(turns))]).astype(np.int32)
    angle = (positions[:, None, None] * jnp.asarray(turns)) % config.period * (2 * np.pi / config.period)
    return jnp.cos(angle), jnp.sin(angle)


def _rotate(x: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
    cosine, sine = rotation
    one, two = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([one * cosine - two * sine, one * sine + two * cosine], axis=-1)


_Drop = tuple[jax.Array, float] | None
"""A random key and the share of channels to drop, in training."""


def _dropped(x: jax.Array, drop: _Drop) -> jax.Array:
    """Drop whole channels of (batch, frames, channels), the same in every frame (Gal and Ghahramani 2016)."""
    if drop is None:
        return x
    keep = jax.random.bernoulli(drop[0], 1.0 - drop[1], (x.shape[0], 1, x.shape[2]))
    return x * (keep / (1.0 - drop[1]))


class _Block(nn.Module):
    """Pre-norm attention and squared-ReLU network (So et al. 2021, Primer)."""

    config: LMConfig

    def setup(self) -> None:
        width = self.config.width
        self.norm_attend, self.norm_expand = nn.RMSNorm(), nn.RMSNorm()
        self.project = nn.Dense(3 * width, use_bias=False)
        self.merge = nn.Dense(width, use_bias=False)
        self.expand = nn.Dense(4 * width, use_bias=False)
        self.contract = nn.Dense(width, use_bias=False)

    def heads(self, x: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values, each (batch, frames, heads, head size)."""
        shape = (*x.shape[:2], self.config.heads, self.config.width // self.config.heads)
        q, k, v = (part.reshape(shape) for part in jnp.split(self.project(self.norm_attend(x)), 3, axis=-1))
        return _rotate(q, rotation), _rotate(k, rotation), v

    def finish(
        self, x: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array, drop: _Drop = None
    ) -> jax.Array:
        """Attend from the queries to the keys that the mask allows, then the network."""
        score = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (q.shape[-1] ** -0.5)
        weight = jax.nn.softmax(jnp.where(mask, score, -1e9), axis=-1)
        first, second = (None, None) if drop is None else ((key, drop[1]) for key in jax.random.split(drop[0]))
        x = x + self.merge(_dropped(jnp.einsum("bhqk,bkhd->bqhd", weight, v).reshape(x.shape), first))
        return x + self.contract(_dropped(jnp.square(nn.relu(self.expand(self.norm_expand(x)))), second))


class _Network(nn.Module):
    config: LMConfig

    def setup(self) -> None:
        c = self.config
        small = nn.initializers.normal(0.5)
        self.codes = self.param("codes", small, (c.levels, c.codebook, c.depth_width))
        self.nothing = self.param("nothing", small, (c.depth_width,))
        self.enter = nn.Dense(c.width, use_bias=False)
        self.steer = nn.Dense(c.width)
        self.blocks = [_Block(c) for _ in range(c.layers)]
        self.norm_out = nn.RMSNorm()
        self.descend = nn.Dense(c.levels * c.depth_width)
        scaled = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", batch_axis=(0,))
        self.refine_in = self.param("refine_in", scaled, (c.levels, 2 * c.depth_width, c.depth_hidden))
        self.refine_out = self.param("refine_out", scaled, (c.levels, c.depth_hidden, c.depth_width))
        self.heads = self.param("heads", scaled, (c.levels, c.depth_width, c.codebook))

    def embed(self, codes: jax.Array, cond: jax.Array) -> jax.Array:
        """(…, levels) codes and (…, CONDITION_SIZE) conditions to (…, width)."""
        played = sum(self.codes[level][codes[..., level]] for level in range(self.config.levels))
        summed = jnp.where(codes[..., :1] < 0, self.nothing, played * self.config.levels**-0.5)
        return self.enter(summed) + self.steer(cond)

    def along_time(self, codes: jax.Array, cond: jax.Array, drop: _Drop = None) -> jax.Array:
        """Transformer outputs (batch, frames, levels, depth_width) of whole sequences."""
        frames = jnp.arange(codes.shape[1])
        age = frames[:, None] - frames[None, :]
        mask = (age >= 0) & (age < self.config.window)
        rotation = _rotation(self.config, frames)
        x = self.embed(codes, cond)
        for index, block in enumerate(self.blocks):
            own = None if drop is None else (jax.random.fold_in(drop[0], index), drop[1])
            x = block.finish(x, *block.heads(x, rotation), mask, own)
        return self.outlook(x)

    def one_frame(self, state: dict[str, Any], codes: jax.Array, cond: jax.Array) -> tuple[dict[str, Any], jax.Array]:
        """Advance by a frame; outputs (batch, levels, depth_width)."""
        window, now = self.config.window, state["frame"]
        slot = now % window
        age = (slot - jnp.arange(window)) % window
        mask = age <= now
        rotation = _rotation(self.config, now[None])
        x = self.embed(codes, cond)[:, None]
        keys, values = [], []
        for block, old_k, old_v in zip(self.blocks, state["keys"], state["values"], strict=True):
            q, k, v = block.heads(x, rotation)
            keys.append(lax.dynamic_update_slice(old_k, k, (0, slot, 0, 0)))
            values.append(lax.dynamic_update_slice(old_v, v, (0, slot, 0, 0)))
            x = block.finish(x, q, keys[-1], values[-1], mask)
        # Past the window only the remainder matters; whole windows and periods keep slot and phase.
        cycle = int(np.lcm(window, self.config.period))
        following = jnp.where(now + 1 >= 2 * cycle, now + 1 - cycle, now + 1)
        return {"frame": following, "keys": tuple(keys), "values": tuple(values)}, self.outlook(x)[:, 0]

    def outlook(self, x: jax.Array) -> jax.Array:
        """From the last layer to what each level's network gets."""
        out = self.descend(self.norm_out(x))
        return out.reshape(*out.shape[:-1], self.config.levels, self.config.depth_width)

    def choose(self, level: int, outlook: jax.Array, coarser: jax.Array) -> jax.Array:
        """Logits of one level from its outlook and the sum of the coarser levels' embeddings."""
        both = jnp.concatenate([outlook, coarser], axis=-1)
        x = outlook + jnp.square(nn.relu(both @ self.refine_in[level])) @ self.refine_out[level]
        x = x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
        return x @ self.heads[level]

    def teach(self, played: jax.Array, cond: jax.Array, target: jax.Array, drop: _Drop = None) -> list[jax.Array]:
        """Logits of every level where the coarser levels are the target's."""
        outlook = self.along_time(played, cond, drop)
        coarser = jnp.zeros_like(outlook[..., 0, :])
        logits = []
        for level in range(self.config.levels):
            logits.append(self.choose(level, outlook[..., level, :], coarser))
            coarser = coarser + self.codes[level][target[..., level]]
        return logits

    def sample(
        self, state: dict[str, Any], played: jax.Array, cond: jax.Array, noise: jax.Array, temperature: jax.Array,
        top_k: jax.Array, guidance: jax.Array | None,
    ) -> tuple[dict[str, Any], jax.Array]:  # fmt: skip
        """One frame, coarse to fine."""
        state, outlook = self.one_frame(state, played, cond)
        coarser = jnp.zeros_like(outlook[:, 0])
        codes = []
        for level in range(self.config.levels):
            logits = self.choose(level, outlook[:, level], coarser)
            if guidance is not None:
                steered, free = jnp.split(logits, 2)
                logits = steered + guidance * (steered - free)
            ranked = lax.top_k(logits, self.config.codebook)[0]
            least = lax.dynamic_slice_in_dim(ranked, top_k - 1, 1, axis=1)
            chosen = jnp.argmax(jnp.where(logits >= least, logits + temperature * noise[level], -jnp.inf), axis=-1)
            if guidance is not None:
                chosen = jnp.concatenate([chosen, chosen])
            codes.append(chosen)
            coarser = coarser + self.codes[level][chosen]
        return state, jnp.stack(codes, axis=-1).astype(jnp.int32)


def init_params(config: LMConfig, seed: int) -> dict[str, Any]:
    """Fresh parameters, a nested dictionary of float32 arrays."""
    codes = jnp.zeros((1, 2, config.levels), jnp.int32)
    cond = jnp.zeros((1, 2, CONDITION_SIZE))
    made = _Network(config).init(jax.random.key(seed), codes, cond, codes, method="teach")
    return dict(made["params"])


def init_state(config: LMConfig, batch: int = 1) -> dict[str, Any]:
    """A stream that has played nothing: ``frame``; ``keys`` and ``values`` per layer (batch, window, heads, size)."""
    shape = (batch, config.window, config.heads, config.width // config.heads)
    empty = tuple(jnp.zeros(shape, jnp.float32) for _ in range(config.layers))
    return {"frame": jnp.zeros((), jnp.int32), "keys": empty, "values": empty}


def forward(
    params: Mapping[str, Any], config: LMConfig, played: jax.Array, cond: jax.Array, target: jax.Array,
    drop: tuple[jax.Array, float] | None = None,
) -> list[jax.Array]:  # fmt: skip
    """Logits of whole sequences, for training and tests.

    Parameters
    ----------
    params, config
        Of the network.
    played
        Int32 (batch, frames, levels): the frame before each frame; :data:`NOTHING` before the first.
    cond
        Float32 (batch, frames, CONDITION_SIZE).
    target
        Int32 (batch, frames, levels): the codes of each frame, from which finer levels see the coarser ones.
    drop
        In training: a random key and the share of channels to drop; None for none.

    Returns
    -------
    list of arrays
        For each level (batch, frames, codebook).
    """
    return _Network(config).apply({"params": params}, played, cond, target, drop, method="teach")  # type: ignore[no-any-return]


def level_logits(
    params: Mapping[str, Any], config: LMConfig, state: dict[str, Any], played: jax.Array, cond: jax.Array,
    target: jax.Array,
) -> tuple[dict[str, Any], list[jax.Array]]:  # fmt: skip
    """Advance by one frame and return every level's logits (batch, codebook), the coarser levels being the target's."""

    def run(net: _Network) -> tuple[dict[str, Any], list[jax.Array]]:
        following, outlook = net.one_frame(state, played, cond)
        coarser = jnp.zeros_like(outlook[:, 0])
        logits = []
        for level in range(config.levels):
            logits.append(net.choose(level, outlook[:, level], coarser))
            coarser = coarser + net.codes[level][target[:, level]]
        return following, logits

    return nn.apply(run, _Network(config))({"params": params})  # type: ignore[no-any-return]


def sampling_noise(config: LMConfig, seed: jax.Array | int, frame: jax.Array | int) -> jax.Array:
    """Gumbel noise (levels, codebook) of a frame, from a counter-based generator (Threefry, Salmon et al. 2011)."""
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), frame)
    return jax.random.gumbel(key, (config.levels, config.codebook), jnp.float32)


def step(
    params: Mapping[str, Any], config: LMConfig, state: dict[str, Any], played: jax.Array, cond: jax.Array,
    noise: jax.Array, temperature: jax.Array | float, top_k: jax.Array | int, guidance: jax.Array | float | None = None,
) -> tuple[dict[str, Any], jax.Array]:  # fmt: skip
    """Choose the codes of the next frame.

    Parameters
    ----------
    params, config
        Of the network; jit with `config` static.
    state
        From :func:`init_state` or an earlier step.
    played
        Int32 (batch, levels): the frame that was last played, or heard in its place; :data:`NOTHING` at the start.
    cond
        Float32 (batch, CONDITION_SIZE), from :func:`condition`.
    noise
        Float32 (levels, codebook), from :func:`sampling_noise`.
    temperature
        0 (greedy) .. 4; scales the noise, which is sampling from the softmax at that temperature (Gumbel-max).
    top_k
        1 .. codebook: codes of each level that can be chosen.
    guidance
        None, or the weight w of classifier-free guidance (Ho and Salimans 2022): logits = c + w (c - u). The first half
        of the batch is then steered (c), the second the same streams without style (u); both get the same codes.

    Returns
    -------
    state, codes
        The next state and int32 codes (batch, levels).
    """
    settings = (jnp.asarray(temperature, jnp.float32), jnp.asarray(top_k, jnp.int32), guidance)
    return _Network(config).apply(  # type: ignore[no-any-return]
        {"params": params}, state, played, cond, noise, *settings, method="sample"
    )
