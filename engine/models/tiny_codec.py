"""The neural codec of `tiny`: band magnitudes to RVQ codes and back, 25 token frames a second.

The encoder sees the log band magnitudes of the four frames of a token frame and nothing else, so that any frame can be
encoded at any time: a linear map, which training starts as the projection on principal components weighted by
audibility, and a small network beside it. A second network reads the score off the frame: which pitch classes sound,
which of them low, which drums are struck (SCORE chances). Residual vector quantisation (Zeghidour et al. 2021) turns
both together into `levels` codes, found by beam search, since the nearest vector of a coarse level need not lead to the
nearest sum. Only the first `score_levels` levels tell the score, so that the first codes of a frame say what is played,
which a language model can foresee, and the others how it sounds. The last `detail_levels` are a quantisation of their
own: they tell what the first leave open (:mod:`~jackdaw.engine.models.tiny_detail`), for whoever encodes and decodes. A
language model need not choose them: without a code, detail is what is to be expected.

The decoder is a causal network of ConvNeXt-like blocks (Liu et al. 2022) on the sums of the codebook vectors; it makes
four frames again. Between its residual blocks the path is linear, without norms: training starts it as the inverse
projection. Detail enters twice: into the blocks, and, linearly, into what comes out.

Everything is a pure function of (params, state, input), jit-able for any number of token frames; the decoder's state
holds the last inputs of each convolution, the encoder has none, and splitting a stream over calls changes nothing. All
functions take leading batch dimensions, which the state must share. Nothing here looks ahead.

Params are a dict: ``encoder`` (``mean``, ``project``, the networks' trees ``net`` and ``score``, and ``detail``),
``codebooks``, float32 of shape (sound_levels, codebook, latent + SCORE), ``details``, the same of the detail,
(detail_levels, codebook, detail), and ``decoder``, a network's own tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jackdaw.engine.models import tiny_detail
from jackdaw.engine.models.products import Dense, on_processor, product
from jackdaw.engine.models.tiny_spectrum import BANDS, CENTRE, FRAMES_PER_TOKEN, HEARING, SPREAD, TURNS

__all__ = [
    "FLOOR",
    "SCORE",
    "SCORE_WEIGHTS",
    "CodecConfig",
    "Params",
    "State",
    "codes_to_latent",
    "decode_init",
    "decode_latent",
    "decode_sound",
    "decode_step",
    "detail_told_by",
    "encode_detail",
    "encode_init",
    "encode_latent",
    "encode_step",
    "init_params",
    "log_bands",
    "nearest",
    "quantise",
    "score_logits",
    "searchable",
    "summed",
    "told_by",
]

FLOOR = 1e-4
"""Added to magnitudes before the logarithm (-80 dB of a full-scale sine), and taken away again after decoding."""

_RUMBLE = 2  # bands, below 37.5 Hz

SCORE = 30
"""Chances that make up the score: of 12 pitch classes (C first), of the same below F3 (MIDI 53), and of strokes of bass
drum, snare, hi-hat, cymbal, tom and other drums."""

SCORE_WEIGHTS = np.repeat(np.array([5.0, 6.0, 8.0], np.float32), [12, 12, 6])
"""What a chance of 1 counts beside the sound in the distance that is quantised. With these, both have the same variance
over music; the first code then tells 2.5 nats of the chord instead of 1.6, and four levels leave 10 % of the sound's
variance instead of 9 %."""

_LOUDEST = 4.0
_PATHS = 4  # as in dsp/xla/nearest.cpp

Params = Mapping[str, Any]
State = tuple[Array, ...]


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """Shape of the network.

    Parameters
    ----------
    width, hidden
        Channels of a block and of its hidden layer.
    latent
        Length of the vectors that tell the sound; SCORE numbers more are quantised with them.
    levels, codebook
        RVQ levels, and codes per level.
    kernel
        Taps of the depthwise convolutions.
    decoder_coarse, decoder_fine
        Blocks at 25 frames a second and at 100.
    encoder
        Channels of a frame in the encoder's network; twice as many after the four are joined.
    reader
        The same in the network that reads the score; half as many more after the four are joined.
    score_levels
        Levels that tell the score.
    detail, detail_levels
        Length of the vectors that tell the detail, and how many of the levels, the last ones, do so.
    treble, treble_levels
        How many of these numbers, and how many of these levels, the last ones of each, tell of treble alone.
    teller
        Channels of the network that makes them.
    """

    width: int = 384
    hidden: int = 1152
    latent: int = 128
    levels: int = 22
    codebook: int = 1024
    kernel: int = 7
    decoder_coarse: int = 2
    decoder_fine: int = 4
    encoder: int = 384
    reader: int = 256
    score_levels: int = 2
    detail: int = 96
    detail_levels: int = 14
    treble: int = 16
    treble_levels: int = 2
    teller: int = 512

    @property
    def sound_levels(self) -> int:
        """Levels that tell the sound as a whole: the first ones."""
        return self.levels - self.detail_levels


_DEFAULT = CodecConfig()


class _Block(nn.Module):
    """Causal depthwise convolution, then two dense layers, round a residual connection."""

    config: CodecConfig

    @nn.compact
    def __call__(self, x: Array, past: Array) -> tuple[Array, Array]:
        c = self.config
        taps = self.param("taps", nn.initializers.normal(c.kernel**-0.5), (c.kernel, c.width))
        known = jnp.concatenate([past, x], axis=-2)
        # A sum of shifted slices: XLA's grouped convolution is two orders slower on CPUs.
        y = sum(known[..., k : k + x.shape[-2], :] * taps[k] for k in range(c.kernel))
        y = nn.LayerNorm(name="norm")(y)
        y = Dense(c.hidden, name="widen")(y)
        y = nn.gelu(y, approximate=True)
        y = Dense(c.width, name="narrow", kernel_init=nn.initializers.normal(1e-3))(y)
        return x + y, known[..., x.shape[-2] :, :]


class _Encoder(nn.Module):
    """What the linear map of a token frame misses."""

    config: CodecConfig

    @nn.compact
    def __call__(self, values: Array) -> Array:
        c = self.config
        y = values.reshape(*values.shape[:-1], FRAMES_PER_TOKEN, 3 * BANDS) / SPREAD
        y = nn.gelu(Dense(c.encoder, name="frame")(y), approximate=True)
        y = Dense(2 * c.encoder, name="join")(y.reshape(*y.shape[:-2], -1))
        y = nn.gelu(y, approximate=True)
        return Dense(c.latent, name="latent", kernel_init=nn.initializers.normal(1e-3))(y)


class _Reader(nn.Module):
    """Logits of the score of a token frame."""

    config: CodecConfig

    @nn.compact
    def __call__(self, values: Array) -> Array:
        c = self.config
        y = values.reshape(*values.shape[:-1], FRAMES_PER_TOKEN, 3 * BANDS)
        y = nn.gelu(Dense(c.reader, name="frame")(y), approximate=True)
        y = Dense(c.reader + c.reader // 2, name="join")(y.reshape(*y.shape[:-2], -1))
        return Dense(SCORE, name="chances")(nn.gelu(y, approximate=True))


class _Decoder(nn.Module):
    config: CodecConfig

    @nn.compact
    def __call__(self, latent: Array, state: State) -> tuple[Array, Array, State]:
        c, after = self.config, []
        sound, detail = jnp.split(latent, [c.latent + SCORE], axis=-1)
        x = Dense(c.width, name="latent")(sound)
        for i in range(c.decoder_coarse):
            x, past = _Block(c, name=f"coarse_{i}")(x, state[i])
            after.append(past)
        x = Dense(FRAMES_PER_TOKEN * c.width, name="unfold")(x)
        x += Dense(FRAMES_PER_TOKEN * c.width, use_bias=False, name="tell", kernel_init=nn.initializers.zeros)(detail)
        x = x.reshape(*x.shape[:-2], x.shape[-2] * FRAMES_PER_TOKEN, c.width)
        for i in range(c.decoder_fine):
            x, past = _Block(c, name=f"fine_{i}")(x, state[c.decoder_coarse + i])
            after.append(past)
        logs = Dense(3 * BANDS, name="write")(x)
        arrows = Dense(2 * TURNS, name="turn", kernel_init=nn.initializers.normal(1e-3))(x)
        logs = logs.reshape(*logs.shape[:-1], 3, BANDS) * SPREAD + CENTRE
        arrows = arrows.reshape(*arrows.shape[:-1], 2, TURNS)
        fill = Dense(FRAMES_PER_TOKEN * (3 * BANDS + 2 * TURNS), use_bias=False, name="fill")(detail)
        fill = fill.reshape(*arrows.shape[:-2], 3 * BANDS + 2 * TURNS)
        more, turned = jnp.split(fill, [3 * BANDS], axis=-1)
        return logs + more.reshape(logs.shape), arrows + turned.reshape(arrows.shape), tuple(after)


def encode_init(config: CodecConfig = _DEFAULT, batch: tuple[int, ...] = ()) -> State:
    """Return the encoder's state at the start of a stream: nothing, since every token frame is encoded by itself."""
    return ()


def decode_init(config: CodecConfig = _DEFAULT, batch: tuple[int, ...] = ()) -> State:
    """Return the decoder's state at the start of a stream, for a batch of that shape."""
    blocks = config.decoder_coarse + config.decoder_fine
    return tuple(jnp.zeros((*batch, config.kernel - 1, config.width)) for _ in range(blocks))


def init_params(rng: Array, config: CodecConfig = _DEFAULT) -> dict[str, Any]:
    """Return random params; `rng` is a JAX key."""
    first, second, third, fourth, fifth, sixth, seventh = jax.random.split(rng, 7)
    sound = config.latent + SCORE
    latent, values = jnp.zeros((1, sound + config.detail)), jnp.zeros((1, FRAMES_PER_TOKEN * 3 * BANDS))
    books = jax.random.normal(third, (config.sound_levels, config.codebook, sound))
    details = jax.random.normal(sixth, (config.detail_levels, config.codebook, config.detail))
    teller, seen = tiny_detail.Network(config.teller, config.detail), jnp.zeros((1, tiny_detail.FEATURES + sound))
    return {
        "encoder": {
            "mean": jnp.full((3 * BANDS,), CENTRE),
            "project": 0.02 * jax.random.normal(first, (FRAMES_PER_TOKEN * 3 * BANDS, config.latent)),
            "net": _Encoder(config).init(fourth, values)["params"],
            "score": _Reader(config).init(fifth, values)["params"],
            "detail": {
                "project": jnp.zeros((tiny_detail.FEATURES + sound, config.detail)),
                "offset": jnp.zeros(config.detail),
                "net": teller.init(seventh, seen)["params"],
            },
        },
        "decoder": _Decoder(config).init(second, latent, decode_init(config))["params"],
        "codebooks": books * told_by(config),
        "details": details * detail_told_by(config),
    }


def told_by(config: CodecConfig = _DEFAULT) -> Array:
    """Return 1 where a level's vectors tell something, else 0: float32 (sound_levels, 1, latent + SCORE)."""
    levels, places = jnp.arange(config.sound_levels)[:, None, None], jnp.arange(config.latent + SCORE)
    return ((places < config.latent) | (levels < config.score_levels)).astype(jnp.float32)


def detail_told_by(config: CodecConfig = _DEFAULT) -> Array:
    """Return the same of the levels of the detail: float32 (detail_levels, 1, detail)."""
    levels, places = jnp.arange(config.detail_levels)[:, None, None], jnp.arange(config.detail)
    of_treble = levels >= config.detail_levels - config.treble_levels
    return ((places >= config.detail - config.treble) == of_treble).astype(jnp.float32)


def log_bands(bands: Array) -> Array:
    """Return the natural logarithm of magnitudes above the floor: log(bands + FLOOR)."""
    return jnp.log(bands + FLOOR)


def encode_latent(params: Params, state: State, bands: Array, *, config: CodecConfig = _DEFAULT) -> tuple[State, Array]:
    """Encode the next frames of a stream, without quantising.

    Parameters
    ----------
    params, state
        From :func:`init_params` or a file; from :func:`encode_init` or an earlier step.
    bands
        Magnitudes of left, right and mid, float32, shape (..., 4 * n, 3, BANDS), linear, >= 0; n >= 1 token frames.
    config
        Shape of the network.

    Returns
    -------
    state, latent
        The next state, and float32 (..., n, latent + SCORE).
    """
    encoder, heard = params["encoder"], jnp.log(bands + HEARING).reshape(*bands.shape[:-2], 3 * BANDS)
    values = _joined(heard - encoder["mean"])
    sound = product(values, encoder["project"]) + _Encoder(config).apply({"params": encoder["net"]}, values)
    logits = score_logits(encoder["score"], bands, config=config)
    return state, jnp.concatenate([sound, SCORE_WEIGHTS * jax.nn.sigmoid(logits)], axis=-1)


def encode_detail(params: Params, bands: Array, turns: Array, codes: Array, *, config: CodecConfig = _DEFAULT) -> Array:
    """Return the detail of token frames, without quantising, float32 (..., n, detail).

    Parameters
    ----------
    params, bands, config
        As for :func:`encode_latent`.
    turns
        Of mid's lowest bins, radians, float32, shape (..., 4 * n, TURNS); the first of four is not read.
    codes
        Those of the first levels, int32 (..., n, sound_levels).
    """
    values = jnp.concatenate([tiny_detail.features(bands, turns), summed(params["codebooks"], codes)], axis=-1)
    return tiny_detail.encode(params["encoder"]["detail"], values, width=config.teller)


def _joined(values: Array) -> Array:
    """(..., 4 * n, 3 * BANDS) to (..., n, 4 * 3 * BANDS)."""
    tokens = values.shape[-2] // FRAMES_PER_TOKEN
    return values.reshape(*values.shape[:-2], tokens, FRAMES_PER_TOKEN * values.shape[-1])


def score_logits(reader: Any, bands: Array, *, config: CodecConfig = _DEFAULT) -> Array:
    """Return the logits (..., n, SCORE) of the score of bands (..., 4 * n, 3, BANDS); `reader` is ``score``'s tree."""
    heard = jnp.log(bands + HEARING).reshape(*bands.shape[:-2], 3 * BANDS)
    return jnp.asarray(_Reader(config).apply({"params": reader}, _joined((heard - CENTRE) / SPREAD)))


def _least(cost: Array, count: int) -> Array:
    """Indices of the `count` least of the last axis, least first; of equal ones the first."""
    # argmin by hand: XLA's own takes four times as long on CPUs
    found, places = [], jnp.arange(cost.shape[-1])
    for _ in range(count):
        is_least = cost <= jnp.min(cost, axis=-1, keepdims=True)
        at = jnp.min(jnp.where(is_least, places, places[-1]), axis=-1)
        found.append(at)
        cost = jnp.where(places == at[..., None], jnp.inf, cost)
    return jnp.stack(found, axis=-1)


def quantise(codebooks: Array, latent: Array, paths: int = _PATHS) -> Array:
    """Return codes, int32 (..., n, levels), whose codebook vectors add up to nearly the latent.

    Beam search: each level keeps the `paths` sums so far that are nearest; with 1, each level takes the vector nearest
    to what the levels before left over. (On held-out music, 8 levels: squared error 10.1 % with 1 path, 9.0 % with 4,
    8.7 % with 16.)
    """
    rest = latent[..., None, :]
    codes = jnp.zeros((*rest.shape[:-1], 0), jnp.int32)
    for book in codebooks:
        gain = jnp.sum(book**2, axis=-1) - 2 * rest @ book.T
        cost = jnp.sum(rest**2, axis=-1, keepdims=True) + gain
        best = _least(cost.reshape(*cost.shape[:-2], -1), paths)
        parent, code = best // len(book), best % len(book)
        rest = jnp.take_along_axis(rest, parent[..., None], axis=-2) - book[code]
        codes = jnp.take_along_axis(codes, parent[..., None], axis=-2)
        codes = jnp.concatenate([codes, code[..., None].astype(jnp.int32)], axis=-1)
    return codes[..., 0, :]


def searchable(codebooks: Array) -> dict[str, Array]:
    """Return codebooks (levels, codes, size) laid out for :func:`nearest`."""
    turned = jnp.swapaxes(codebooks, 1, 2).astype(jnp.bfloat16)
    return {"turned": turned, "squares": jnp.sum(jnp.square(turned.astype(jnp.float32)), axis=1)}


def nearest(books: Params, latent: Array) -> Array:
    """Return what :func:`quantise` does, where time matters: codes int32 (rows, levels) of latents (rows, size).

    Parameters
    ----------
    books
        From :func:`searchable`: the codebooks as bfloat16.
    latent
        Float32, from :func:`encode_latent`.
    """
    result = jax.ShapeDtypeStruct((len(latent), len(books["squares"])), jnp.int32)

    def plain(latent: Array, turned: Array, _squares: Array) -> Array:
        return quantise(jnp.swapaxes(turned, 1, 2).astype(jnp.float32), latent)

    codes: Array = on_processor("jd_nearest", result, (latent, books["turned"], books["squares"]), plain)
    return codes


def encode_step(
    params: Params, state: State, bands: Array, turns: Array, *, config: CodecConfig = _DEFAULT
) -> tuple[State, Array]:
    """Encode the next frames of a stream into codes.

    Parameters
    ----------
    params, state, bands, turns, config
        As for :func:`encode_latent` and :func:`encode_detail`.

    Returns
    -------
    state, codes
        The next state, and int32 codes (..., n, levels), 0 .. codebook - 1.
    """
    after, latent = encode_latent(params, state, bands, config=config)
    codes = quantise(params["codebooks"], latent)
    detail = encode_detail(params, bands, turns, codes, config=config)
    return after, jnp.concatenate([codes, quantise(params["details"], detail)], axis=-1)


def summed(codebooks: Array, codes: Array) -> Array:
    """Return the sums of vectors of codebooks (levels, codebook, size), float32 (..., size), that codes name."""
    return sum((codebooks[k][codes[..., k]] for k in range(codes.shape[-1])), start=jnp.float32(0))


def codes_to_latent(params: Params, codes: Array) -> Array:
    """Return what codes stand for, float32 (..., n, latent + SCORE + detail).

    Parameters
    ----------
    params
        The codec's.
    codes
        int32 (..., n, levels). Fewer levels than the codec has are a coarser description of the same sound; detail that
        no level tells is 0.
    """
    levels = len(params["codebooks"])
    sound, detail = summed(params["codebooks"], codes[..., :levels]), summed(params["details"], codes[..., levels:])
    detail = jnp.broadcast_to(detail, (*codes.shape[:-1], params["details"][0].shape[-1]))
    return jnp.concatenate([sound, detail], axis=-1)


def decode_latent(
    params: Params, state: State, latent: Array, *, config: CodecConfig = _DEFAULT
) -> tuple[State, Array, Array]:
    """Decode latents of n token frames.

    Returns
    -------
    state, logs, arrows
        The next state; log band magnitudes, float32 (..., 4 * n, 3, BANDS), floor included; and of mid's lowest bins
        the turn of the phase, as cosine and sine, float32 (..., 4 * n, 2, TURNS): the less sure, the shorter.
    """
    logs, arrows, after = _Decoder(config).apply({"params": params["decoder"]}, latent, state)
    return after, logs, arrows


def decode_step(
    params: Params, state: State, codes: Array, *, config: CodecConfig = _DEFAULT
) -> tuple[State, Array, Array]:
    """Decode the next token frames of a stream: :func:`decode_sound` of codes, int32 (..., n, levels or fewer)."""
    return decode_sound(params, state, codes_to_latent(params, codes), config=config)


def decode_sound(
    params: Params, state: State, latent: Array, *, config: CodecConfig = _DEFAULT
) -> tuple[State, Array, Array]:
    """Decode the next token frames of a stream.

    Parameters
    ----------
    params, state
        From :func:`init_params` or a file; from :func:`decode_init` or an earlier step.
    latent
        What codes stand for, float32 (..., n, latent + SCORE + detail).
    config
        Shape of the network.

    Returns
    -------
    state, bands, turns
        The next state; magnitudes of left, right and mid, float32 (..., 4 * n, 3, BANDS), linear, >= 0; and turns of
        the phases of mid, radians, float32 (..., 4 * n, TURNS): what the synthesis takes. What lies below 37.5 Hz is no
        louder than the band above it: codes of no music can mean a rumble far over full scale.
    """
    after, logs, arrows = decode_latent(params, state, latent, config=config)
    bands = jnp.maximum(jnp.exp(jnp.minimum(logs, _LOUDEST)) - FLOOR, 0)
    lowest, others = bands[..., :_RUMBLE], bands[..., _RUMBLE:]
    turns = jnp.arctan2(arrows[..., 1, :], arrows[..., 0, :])
    return after, jnp.concatenate([jnp.minimum(lowest, others[..., :1]), others], axis=-1), turns
