"""Language model of the bundled model: from the frames played so far to the codes of the next one.

A causal transformer runs along time (25 frames a second); for each frame, a small network per RVQ level then goes
from coarse to fine: it sees the transformer's output and the sum of the embeddings of the levels already chosen. What
steers a frame (style, musical time, chord, notes, drums, energy, density) is one vector, :func:`condition`; a part that
is not given is all zeros, so "masked" and "absent" are the same thing. What is heard comes twice: mixed into the frame
that was played last, and by itself, so that the model can tell its own playing from that of others.

Invariants: attention reaches back `window` frames, this one included, in every layer. Keys carry a rotary phase whose
frequencies are whole numbers of turns per `period` frames, so that positions count modulo `period`. :func:`forward`
goes over whole sequences; frame by frame, with the same logits, goes :mod:`~jackdaw.engine.models.tiny_lm_stream`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from jackdaw.engine.models.contract import CHORD_TONES, Chord, Clock, Controls, Style
from jackdaw.engine.models.products import Dense, product

__all__ = [
    "BAND_DIMS",
    "BENDING_DIMS",
    "CHORD_DIMS",
    "CLOCK_DIMS",
    "CONDITION_SIZE",
    "GRIP",
    "GRIP_ALONE",
    "GUIDED_LEVELS",
    "LED_DIMS",
    "LOWEST_NOTE",
    "NOTES",
    "NOTE_DIMS",
    "NOTHING",
    "SOBER",
    "STYLE_DIMS",
    "LMConfig",
    "Network",
    "Params",
    "band_features",
    "chord_features",
    "clock_features",
    "condition",
    "embedded",
    "forward",
    "init_params",
    "level_logits",
    "note_features",
    "rotation",
    "style_features",
]

Params = Mapping[str, Any]
"""Parameters: those of :class:`Network`, and ``codes``, ``nothing``, ``refine_in``, ``refine_out``, ``heads``. All but
``nothing`` hold one array a level: stacked in files and in training, a tuple of arrays where streams are played."""

NOTHING = -1
"""As every code of a frame: nothing has been played yet."""

SOBER = 0.12
"""Level l is sampled at 1 - SOBER * l of the temperature, never below 0. The deeper a level, the nearer to uniform are
its logits: chosen soberly, partials hold steadier."""

GRIP = (3.0, 3.0, 0.0, 0.0)
"""Weights of classifier-free guidance by clock, chord, notes and what is heard, for each of the first levels; the
others follow from these. In four clips of 12 s, a chord recogniser found 0.12 of the asked triads without it, 0.81 with
it. The first two levels tell the score; guided as well, the others blur the sound."""

GRIP_ALONE = (3.0, 3.0, 2.0, 1.0)
"""The same, by style as well, while nobody tells the harmony: then the style is what was asked for."""

GUIDED_LEVELS = len(GRIP)

LOWEST_NOTE, NOTES = 24, 84
"""Notes that the model knows, C1 to B7; others are moved there by octaves."""

STYLE_DIMS, CLOCK_DIMS, CHORD_DIMS, NOTE_DIMS, BAND_DIMS = 129, 9, 24, 1 + 2 * NOTES, 6
LED_DIMS = CLOCK_DIMS + CHORD_DIMS + NOTE_DIMS
"""What leads, next to the style: clock, chord, notes."""
CONDITION_SIZE = STYLE_DIMS + LED_DIMS + BAND_DIMS
BENDING_DIMS = STYLE_DIMS + CLOCK_DIMS + CHORD_DIMS
"""The first ones, which every layer is told."""


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


def style_features(style: Style | None) -> NDArray[np.float32]:
    """Float32 (STYLE_DIMS,) of a style, a unit vector of 128 dimensions.

    Raises
    ------
    ValueError
        If it has another size.
    """
    out = np.zeros(STYLE_DIMS, np.float32)
    if style is not None:
        if style.shape != (STYLE_DIMS - 1,):
            raise ValueError(f"a style has shape {(STYLE_DIMS - 1,)}, not {style.shape}; embed it with this model")
        out[:-1] = style * np.sqrt(STYLE_DIMS - 1)
        out[-1] = 1.0
    return out


def clock_features(clock: Clock | None) -> NDArray[np.float32]:
    """Float32 (CLOCK_DIMS,) of the musical time at a frame's first sample."""
    if clock is None:
        return np.zeros(CLOCK_DIMS, np.float32)
    beat, bar = 2 * np.pi * clock.beat, 2 * np.pi * clock.beat / clock.beats_per_bar
    waves = [wave(angle) for angle in (beat, 2 * beat, bar) for wave in (np.sin, np.cos)]
    return np.array([1.0, 2.0 * np.log2(clock.bpm / 120.0), *waves, clock.beats_per_bar - 3.5], np.float32)


def chord_features(chord: Chord | None) -> NDArray[np.float32]:
    """Float32 (CHORD_DIMS,) of a frame's harmony.

    Raises
    ------
    ValueError
        If the chord's quality is unknown.
    """
    out = np.zeros(CHORD_DIMS, np.float32)
    if chord is not None:
        if chord.quality not in CHORD_TONES:
            raise ValueError(f"chord quality {chord.quality!r} is unknown; give one of {', '.join(CHORD_TONES)}")
        out[chord.root % 12] = 2.0
        for tone in CHORD_TONES[chord.quality]:
            out[12 + (chord.root + tone) % 12] = 1.0
    return out


def _place(pitch: int) -> int:
    """Where a MIDI pitch stands among NOTES."""
    while pitch < LOWEST_NOTE:
        pitch += 12
    while pitch >= LOWEST_NOTE + NOTES:
        pitch -= 12
    return pitch - LOWEST_NOTE


def note_features(sounding: Iterable[int] | None, begun: Iterable[int] = ()) -> NDArray[np.float32]:
    """Float32 (NOTE_DIMS,): MIDI pitches that sound in a frame, and those of them that begin in it; None: not given."""
    out = np.zeros(NOTE_DIMS, np.float32)
    if sounding is not None:
        out[0] = 1.0
        out[[1 + _place(pitch) for pitch in sounding]] = 1.0
        out[[1 + NOTES + _place(pitch) for pitch in begun]] = 1.0
    return out


def band_features(
    drums: bool | None = None, energy: float | None = None, density: float | None = None
) -> NDArray[np.float32]:
    """Float32 (BAND_DIMS,): whether drums play, level in dBFS (RMS over a second), and note onsets a second."""
    out = np.zeros(BAND_DIMS, np.float32)
    if drums is not None:
        out[:2] = 1.0, 1.0 if drums else -1.0
    if energy is not None:
        out[2:4] = 1.0, np.clip((energy + 20.0) / 8.0, -3.0, 2.5)
    if density is not None:
        out[4:6] = 1.0, np.clip(np.log2((density + 1.0) / 9.0), -3.2, 2.5)
    return out


def condition(controls: Controls, begun: Iterable[int] = ()) -> NDArray[np.float32]:
    """Put what steers one frame into one vector.

    Parameters
    ----------
    controls
        Style, clock, chord, notes, drums, energy and density are read; None stands for not given.
    begun
        Those of the notes that begin in this frame.

    Returns
    -------
    ndarray
        Float32, shape (CONDITION_SIZE,); parts that are not given are zero.

    Raises
    ------
    ValueError
        If the style has another size, or the chord's quality is unknown.
    """
    parts = (
        style_features(controls.style),
        clock_features(controls.clock),
        chord_features(controls.chord),
        note_features(controls.notes, begun),
        band_features(controls.drums, controls.energy, controls.density),
    )
    return np.concatenate(parts)


def rotation(config: LMConfig, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of positions, each (positions, 1, half a head); frequencies are whole turns per period."""
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


@jax.custom_vjp
def _attended(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> jax.Array:
    """Softmax attention of whole sequences, (batch, frames, heads, head size); mask 0 or 1, (frames, frames).

    Sums over keys are products, since XLA sums along an axis slowly on CPUs: with its gradient, half the time.
    """
    return _attended_forward(q, k, v, mask)[0]


def _attended_forward(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> tuple[jax.Array, Any]:
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q * q.shape[-1] ** -0.5, k, v))
    score = jnp.where(mask > 0, jnp.einsum("bhqd,bhkd->bhqk", q, k), -jnp.inf)
    weight = jnp.exp(score - score.max(axis=-1, keepdims=True))
    found = jnp.einsum("bhqk,bhkd->bhqd", weight, jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1))
    total = found[..., -1:]
    found = found[..., :-1] / total
    return found.transpose(0, 2, 1, 3), (q, k, v, weight, total, found)


def _attended_backward(kept: Any, grown: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    q, k, v, weight, total, found = kept
    grown = grown.transpose(0, 2, 1, 3) / total
    to_v = jnp.einsum("bhqk,bhqd->bhkd", weight, grown)
    to_score = weight * (jnp.einsum("bhqd,bhkd->bhqk", grown, v) - (grown * found).sum(axis=-1, keepdims=True))
    to_q = jnp.einsum("bhqk,bhkd->bhqd", to_score, k) * q.shape[-1] ** -0.5
    to_k = jnp.einsum("bhqk,bhqd->bhkd", to_score, q)
    return to_q.transpose(0, 2, 1, 3), to_k.transpose(0, 2, 1, 3), to_v.transpose(0, 2, 1, 3), None


_attended.defvjp(_attended_forward, _attended_backward)


class _Block(nn.Module):
    """Pre-norm attention and squared-ReLU network (So et al. 2021, Primer)."""

    config: LMConfig

    def setup(self) -> None:
        width = self.config.width
        self.norm_attend, self.norm_expand = nn.RMSNorm(), nn.RMSNorm()
        self.project = Dense(3 * width, use_bias=False)
        self.merge = Dense(width, use_bias=False)
        self.expand = Dense(4 * width, use_bias=False)
        self.contract = Dense(width, use_bias=False)

    def heads(
        self, x: jax.Array, bend: jax.Array, rotation: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values, each (batch, frames, heads, head size); `bend` from :meth:`Network.bends`."""
        shape = (*x.shape[:2], self.config.heads, self.config.width // self.config.heads)
        made = self.project(self.norm_attend(x) * bend[..., 0, :])
        q, k, v = (part.reshape(shape) for part in jnp.split(made, 3, axis=-1))
        return _rotate(q, rotation), _rotate(k, rotation), v

    def finish(self, x: jax.Array, bend: jax.Array, attended: jax.Array, drop: _Drop = None) -> jax.Array:
        """Add what attention found, (batch, frames, heads, head size), then the network."""
        first, second = (None, None) if drop is None else ((key, drop[1]) for key in jax.random.split(drop[0]))
        x = x + self.merge(_dropped(attended.reshape(x.shape), first))
        hidden = self.expand(self.norm_expand(x) * bend[..., 1, :])
        return x + self.contract(_dropped(jnp.square(nn.relu(hidden)), second))


class Network(nn.Module):
    """The part along time; the other parameters belong to :func:`embedded` and :func:`level_logits`.

    Parameters
    ----------
    config
        Sizes.
    """

    config: LMConfig

    def setup(self) -> None:
        """Name the parts."""
        c = self.config
        self.enter = Dense(c.width, use_bias=False)
        self.listen = Dense(c.width, use_bias=False)
        self.steer = Dense(c.width)
        self.bend = Dense(2 * c.layers * c.width, use_bias=False, kernel_init=nn.initializers.zeros)
        self.blocks = [_Block(c) for _ in range(c.layers)]
        self.norm_out = nn.RMSNorm()
        self.descend = Dense(c.levels * c.depth_width)

    def along_time(self, played: jax.Array, heard: jax.Array, cond: jax.Array, drop: _Drop = None) -> jax.Array:
        """Whole sequences: outputs (batch, frames, levels, depth_width) from embedded codes and conditions."""
        frames = jnp.arange(played.shape[1])
        age = frames[:, None] - frames[None, :]
        mask = (age >= 0) & (age < self.config.window)
        turned = rotation(self.config, frames)
        x, bends = self.taken_in(played, heard, cond), self.bends(cond)
        for index, block in enumerate(self.blocks):
            own = None if drop is None else (jax.random.fold_in(drop[0], index), drop[1])
            bend = bends[..., index, :, :]
            x = block.finish(x, bend, _attended(*block.heads(x, bend, turned), mask.astype(x.dtype)), own)
        return self.outlook(x)

    def taken_in(self, played: jax.Array, heard: jax.Array, cond: jax.Array) -> jax.Array:
        """What the first layer gets."""
        return self.enter(played) + self.listen(heard) + self.steer(cond)

    def bends(self, cond: jax.Array) -> jax.Array:
        """What style, clock and chord multiply the normed channels of each layer by (Perez et al. 2018, FiLM).

        Float32 (batch, frames, layers, 2, width): before attention, and before the layer's network.
        """
        shape = (*cond.shape[:-1], self.config.layers, 2, self.config.width)
        return 1.0 + self.bend(cond[..., :BENDING_DIMS]).reshape(shape)

    def outlook(self, x: jax.Array) -> jax.Array:
        """From the last layer to what each level's network gets."""
        out = self.descend(self.norm_out(x))
        return out.reshape(*out.shape[:-1], self.config.levels, self.config.depth_width)


def embedded(params: Params, codes: jax.Array, nothing: jax.Array | float) -> jax.Array:
    """Embed frames: codes (..., levels) to (..., depth_width), and :data:`NOTHING` to what stands for it."""
    levels = len(params["codes"])
    vectors = sum(params["codes"][level][codes[..., level]] for level in range(levels))
    return jnp.where(codes[..., :1] < 0, nothing, vectors * levels**-0.5)


def level_logits(params: Params, level: int, outlook: jax.Array, coarser: jax.Array) -> jax.Array:
    """Logits (..., codebook) of one level.

    Parameters
    ----------
    params
        Of the language model.
    level
        Which.
    outlook
        What the part along time gives this level, (..., depth_width).
    coarser
        Sum of the embeddings of the coarser levels' codes, of the same shape.
    """
    both = jnp.concatenate([outlook, coarser], axis=-1)
    hidden = jnp.square(nn.relu(product(both, params["refine_in"][level])))
    x = outlook + product(hidden, params["refine_out"][level])
    x = x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
    return product(x, params["heads"][level])


def init_params(config: LMConfig, seed: int) -> dict[str, Any]:
    """Fresh parameters, a nested dictionary of float32 arrays."""
    c, keys = config, jax.random.split(jax.random.key(seed), 6)
    played, cond = jnp.zeros((1, 2, c.depth_width)), jnp.zeros((1, 2, CONDITION_SIZE))
    small = nn.initializers.normal(0.5)
    scaled = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", batch_axis=(0,))
    return {
        **Network(c).init(keys[0], played, played, cond, method="along_time")["params"],
        "codes": small(keys[1], (c.levels, c.codebook, c.depth_width)),
        "nothing": small(keys[2], (c.depth_width,)),
        "refine_in": scaled(keys[3], (c.levels, 2 * c.depth_width, c.depth_hidden)),
        "refine_out": scaled(keys[4], (c.levels, c.depth_hidden, c.depth_width)),
        "heads": scaled(keys[5], (c.levels, c.depth_width, c.codebook)),
    }


def forward(
    params: Params,
    config: LMConfig,
    played: jax.Array,
    heard: jax.Array,
    cond: jax.Array,
    target: jax.Array,
    drop: tuple[jax.Array, float] | None = None,
) -> list[jax.Array]:
    """Logits of whole sequences, for training and tests.

    Parameters
    ----------
    params, config
        Of the network.
    played
        Int32 (batch, frames, levels): the frame before each frame, as a mix; :data:`NOTHING` before the first.
    heard
        The same of what was heard alone; :data:`NOTHING` where nothing was.
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
    given = embedded(params, played, params["nothing"]), embedded(params, heard, 0.0), cond, drop
    outlook = Network(config).apply({"params": params}, *given, method="along_time")
    assert isinstance(outlook, jax.Array)
    coarser = jnp.zeros_like(outlook[..., 0, :])
    logits = []
    for level in range(config.levels):
        logits.append(level_logits(params, level, outlook[..., level, :], coarser))
        coarser = coarser + params["codes"][level][target[..., level]]
    return logits
