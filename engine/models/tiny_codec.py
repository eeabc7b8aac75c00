"""The neural codec of `tiny`: band magnitudes to RVQ codes and back, 25 token frames a second.

The encoder sees the log band magnitudes of the four frames of a token frame and nothing else, so that any frame can be
encoded at any time: a linear map, which training starts as the projection on principal components weighted by
audibility, and a small network beside it. A second network reads the score off the frame: which pitch classes sound,
which of them low, which drums are struck (SCORE chances). Residual vector quantisation (Zeghidour et al. 2021) turns
both together into `levels` codes, found by beam search, since the nearest vector of a coarse level need not lead to the
nearest sum. Only the first `score_levels` levels tell the score, so that the first codes of a frame say what is played,
which a language model can foresee, and the others how it sounds: these are the `sound_levels`, which a language model
chooses. More levels, for whoever encodes and decodes, tell what they leave open
(:mod:`~jackdaw.engine.models.tiny_detail`): first the tones, then the envelope.

The decoder is a causal network of ConvNeXt-like blocks (Liu et al. 2022) on the sums of the codebook vectors of the
sound; it makes four frames again. Between its residual blocks the path is linear, without norms: training starts it as
the inverse projection. Tones and envelope, if told, are put in after it.

Everything is a pure function of (params, state, input), jit-able for any number of token frames; the decoder's state
holds the last inputs of each convolution, the encoder has none, and splitting a stream over calls changes nothing. All
functions take leading batch dimensions, which the state must share. Nothing here looks ahead.

Params are a dict: ``encoder`` (``mean``, ``project``, and the networks' trees ``net`` and ``score``), ``codebooks``,
float32 of shape (sound_levels, codebook, latent + SCORE), ``decoder``, a network's own tree, and ``detail``: the
codebooks ``tones`` (tone_levels, codebook, components) and ``envelope`` (envelope_levels, codebook, ENVELOPE), and what
``tiny_detail`` takes, ``components`` and ``expect``; and ``ceiling``, logarithms of the magnitudes (BANDS,) that no
band that the network makes exceeds.
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
    "decode_init",
    "decode_latent",
    "decode_step",
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
    sound_levels, tone_levels, envelope_levels
        RVQ levels that tell the sound as a whole, the tones and the envelope.
    codebook
        Codes per level.
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
    components
        Principal components of tones.
    """

    width: int = 384
    hidden: int = 1152
    latent: int = 128
    sound_levels: int = 8
    tone_levels: int = 32
    envelope_levels: int = 8
    codebook: int = 1024
    kernel: int = 7
    decoder_coarse: int = 2
    decoder_fine: int = 3
    encoder: int = 384
    reader: int = 256
    score_levels: int = 2
    components: int = 160

    @property
    def levels(self) -> int:
        """All levels."""
        return self.sound_levels + self.tone_levels + self.envelope_levels


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
        x = Dense(c.width, name="latent")(latent)
        for i in range(c.decoder_coarse):
            x, past = _Block(c, name=f"coarse_{i}")(x, state[i])
            after.append(past)
        x = Dense(FRAMES_PER_TOKEN * c.width, name="unfold")(x)
        x = x.reshape(*x.shape[:-2], x.shape[-2] * FRAMES_PER_TOKEN, c.width)
        for i in range(c.decoder_fine):
            x, past = _Block(c, name=f"fine_{i}")(x, state[c.decoder_coarse + i])
            after.append(past)
        logs = Dense(3 * BANDS, name="write")(x)
        arrows = Dense(2 * TURNS, name="turn", kernel_init=nn.initializers.normal(1e-3))(x)
        logs = logs.reshape(*logs.shape[:-1], 3, BANDS) * SPREAD + CENTRE
        return logs, arrows.reshape(*arrows.shape[:-1], 2, TURNS), tuple(after)


def encode_init(config: CodecConfig = _DEFAULT, batch: tuple[int, ...] = ()) -> State:
    """Return the encoder's state at the start of a stream: nothing, since every token frame is encoded by itself."""
    return ()


def decode_init(config: CodecConfig = _DEFAULT, batch: tuple[int, ...] = ()) -> State:
    """Return the decoder's state at the start of a stream, for a batch of that shape."""
    blocks = config.decoder_coarse + config.decoder_fine
    return tuple(jnp.zeros((*batch, config.kernel - 1, config.width)) for _ in range(blocks))


def init_params(rng: Array, config: CodecConfig = _DEFAULT) -> dict[str, Any]:
    """Return random params; `rng` is a JAX key."""
    first, second, third, fourth, fifth, sixth, seventh, eighth = jax.random.split(rng, 8)
    sound = config.latent + SCORE
    latent, values = jnp.zeros((1, sound)), jnp.zeros((1, FRAMES_PER_TOKEN * 3 * BANDS))

    def books(rng: Array, levels: int, size: int) -> Array:
        return jax.random.normal(rng, (levels, config.codebook, size))

    return {
        "encoder": {
            "mean": jnp.full((3 * BANDS,), CENTRE),
            "project": 0.02 * jax.random.normal(first, (FRAMES_PER_TOKEN * 3 * BANDS, config.latent)),
            "net": _Encoder(config).init(fourth, values)["params"],
            "score": _Reader(config).init(fifth, values)["params"],
        },
        "decoder": _Decoder(config).init(second, latent, decode_init(config))["params"],
        "codebooks": books(third, config.sound_levels, sound) * told_by(config),
        "detail": {
            "ceiling": jnp.zeros(BANDS),
            "components": jnp.eye(tiny_detail.TONES, config.components),
            "expect": {
                # XLA (0.10.2, CPU) now and then multiplies by rubbish instead of by a constant matrix of equal numbers
                "project": 0.02 * jax.random.normal(eighth, (sound, tiny_detail.ENVELOPE)),
                "offset": jnp.full((tiny_detail.ENVELOPE,), CENTRE),
            },
            "tones": books(sixth, config.tone_levels, config.components),
            "envelope": books(seventh, config.envelope_levels, tiny_detail.ENVELOPE),
        },
    }


def told_by(config: CodecConfig = _DEFAULT) -> Array:
    """Return 1 where a level's vectors tell something, else 0: float32 (sound_levels, 1, latent + SCORE)."""
    levels, places = jnp.arange(config.sound_levels)[:, None, None], jnp.arange(config.latent + SCORE)
    return ((places < config.latent) | (levels < config.score_levels)).astype(jnp.float32)


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


def encode_detail(params: Params, bands: Array, phases: Array, codes: Array) -> tuple[Array, Array]:
    """Return the detail of token frames, without quantising.

    Parameters
    ----------
    params, bands
        As for :func:`encode_latent`.
    phases
        Of mid's lowest bins, radians, float32, shape (..., 4 * n, TURNS).
    codes
        Those of the first levels, int32 (..., n, sound_levels).

    Returns
    -------
    tones, envelope
        Float32 (..., n, components), and (..., n, ENVELOPE).
    """
    detail, said = params["detail"], summed(params["codebooks"], codes)
    return tiny_detail.tones_told(detail, bands, phases), tiny_detail.envelope_told(detail, said, bands)


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
    params: Params, state: State, bands: Array, phases: Array, *, config: CodecConfig = _DEFAULT
) -> tuple[State, Array]:
    """Encode the next frames of a stream into codes.

    Parameters
    ----------
    params, state, bands, phases, config
        As for :func:`encode_latent` and :func:`encode_detail`.

    Returns
    -------
    state, codes
        The next state, and int32 codes (..., n, levels), 0 .. codebook - 1.
    """
    after, latent = encode_latent(params, state, bands, config=config)
    codes = quantise(params["codebooks"], latent)
    tones, envelope = encode_detail(params, bands, phases, codes)
    finer = quantise(params["detail"]["tones"], tones), quantise(params["detail"]["envelope"], envelope)
    return after, jnp.concatenate([codes, *finer], axis=-1)


def summed(codebooks: Array, codes: Array) -> Array:
    """Return the sums of vectors of codebooks (levels, codebook, size), float32 (..., size), that codes name."""
    return sum((codebooks[k][codes[..., k]] for k in range(codes.shape[-1])), start=jnp.float32(0))


def decode_latent(
    params: Params, state: State, latent: Array, *, config: CodecConfig = _DEFAULT
) -> tuple[State, Array, Array]:
    """Decode latents of the sound of n token frames, (..., n, latent + SCORE), without the detail.

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
) -> tuple[State, Array, Array, Array | None]:
    """Decode the next token frames of a stream.

    Parameters
    ----------
    params, state
        From :func:`init_params` or a file; from :func:`decode_init` or an earlier step.
    codes
        int32 (..., n, levels or fewer). Fewer levels are a coarser description of the same sound.
    config
        Shape of the network.

    Returns
    -------
    state, bands, turns, phases
        The next state; magnitudes of left, right and mid, float32 (..., 4 * n, 3, BANDS), linear, >= 0; and what the
        synthesis takes of mid's lowest bins, radians, float32 (..., 4 * n, TURNS): turns and, if a level of the tones
        is given, phases. Codes of no music can mean a rumble or a whistle far over full scale: what lies below 37.5 Hz
        is no louder than the band above it, and no band is louder than its ceiling.
    """
    whole = config.sound_levels, config.sound_levels + config.tone_levels
    sound, tones, envelope = codes[..., : whole[0]], codes[..., whole[0] : whole[1]], codes[..., whole[1] :]
    said, detail = summed(params["codebooks"], sound), params["detail"]
    after, logs, arrows = decode_latent(params, state, said, config=config)
    bands = jnp.maximum(jnp.exp(jnp.minimum(logs, detail["ceiling"])) - FLOOR, 0)
    turns, phases = jnp.arctan2(arrows[..., 1, :], arrows[..., 0, :]), None
    if tones.shape[-1]:
        bands, phases = tiny_detail.with_tones(detail, bands, summed(detail["tones"], tones))
    if envelope.shape[-1]:
        bands = tiny_detail.with_envelope(detail, bands, said, summed(detail["envelope"], envelope))
    lowest, others = bands[..., :_RUMBLE], bands[..., _RUMBLE:]
    return after, jnp.concatenate([jnp.minimum(lowest, others[..., :1]), others], axis=-1), turns, phases
