"""The neural codec of `tiny`: band magnitudes to RVQ codes and back, 25 token frames a second.

A causal network of ConvNeXt-like blocks (Liu et al. 2022) encodes four frames of log band magnitudes into one latent
per token frame; residual vector quantisation (Zeghidour et al. 2021) turns it into `levels` codes; a mirrored network
decodes the sum of their codebook vectors. Everything is a pure function of (params, state, input), jit-able for any
number of token frames; the state holds the last inputs of each convolution, so that splitting a stream over calls
changes nothing. All functions take leading batch dimensions, which the state must share. Nothing here looks ahead.

Params are a dict: ``encoder`` and ``decoder`` (trained by gradient) and ``codebooks``, float32 of shape (levels,
codebook, latent).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jackdaw.engine.models.tiny_spectrum import BANDS, FRAMES_PER_TOKEN

__all__ = [
    "FLOOR",
    "CodecConfig",
    "Params",
    "State",
    "codes_to_latent",
    "decode_init",
    "decode_latent",
    "decode_step",
    "encode_init",
    "encode_latent",
    "encode_step",
    "init_params",
    "log_bands",
    "quantise",
]

FLOOR = 1e-4
"""Added to magnitudes before the logarithm (-80 dB of a full-scale sine), and taken away again after decoding."""

# Log magnitudes of music lie around the one, spread by the other; the network sees and makes normalised values.
_CENTRE, _SPREAD = -6.5, 2.5
_LOUDEST = 4.0

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
        Length of the vectors that are quantised.
    levels, codebook
        RVQ levels, and codes per level.
    kernel
        Taps of the depthwise convolutions.
    encoder_fine, encoder_coarse, decoder_coarse, decoder_fine
        Blocks at 100 frames a second (fine) and at 25 (coarse).
    """

    width: int = 384
    hidden: int = 1152
    latent: int = 128
    levels: int = 6
    codebook: int = 1024
    kernel: int = 7
    encoder_fine: int = 2
    encoder_coarse: int = 1
    decoder_coarse: int = 2
    decoder_fine: int = 3


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
        y = nn.Dense(c.hidden, name="widen")(y)
        y = nn.gelu(y, approximate=True)
        y = nn.Dense(c.width, name="narrow", kernel_init=nn.initializers.normal(0.02))(y)
        return x + y, known[..., x.shape[-2] :, :]


class _Encoder(nn.Module):
    config: CodecConfig

    @nn.compact
    def __call__(self, logs: Array, state: State) -> tuple[Array, State]:
        c, after = self.config, []
        x = (logs - _CENTRE) / _SPREAD
        x = nn.Dense(c.width, name="read")(x.reshape(*x.shape[:-2], 3 * BANDS))
        for i in range(c.encoder_fine):
            x, past = _Block(c, name=f"fine_{i}")(x, state[i])
            after.append(past)
        x = nn.LayerNorm(name="fold_norm")(x)
        x = x.reshape(*x.shape[:-2], x.shape[-2] // FRAMES_PER_TOKEN, FRAMES_PER_TOKEN * c.width)
        x = nn.Dense(c.width, name="fold")(x)
        for i in range(c.encoder_coarse):
            x, past = _Block(c, name=f"coarse_{i}")(x, state[c.encoder_fine + i])
            after.append(past)
        return nn.Dense(c.latent, name="latent")(nn.LayerNorm(name="norm")(x)), tuple(after)


class _Decoder(nn.Module):
    config: CodecConfig

    @nn.compact
    def __call__(self, latent: Array, state: State) -> tuple[Array, State]:
        c, after = self.config, []
        x = nn.Dense(c.width, name="latent")(latent)
        for i in range(c.decoder_coarse):
            x, past = _Block(c, name=f"coarse_{i}")(x, state[i])
            after.append(past)
        x = nn.Dense(FRAMES_PER_TOKEN * c.width, name="unfold")(nn.LayerNorm(name="unfold_norm")(x))
        x = x.reshape(*x.shape[:-2], x.shape[-2] * FRAMES_PER_TOKEN, c.width)
        for i in range(c.decoder_fine):
            x, past = _Block(c, name=f"fine_{i}")(x, state[c.decoder_coarse + i])
            after.append(past)
        x = nn.Dense(3 * BANDS, name="write")(nn.LayerNorm(name="norm")(x))
        return x.reshape(*x.shape[:-1], 3, BANDS) * _SPREAD + _CENTRE, tuple(after)


def _silence(blocks: int, config: CodecConfig, batch: tuple[int, ...]) -> State:
    return tuple(jnp.zeros((*batch, config.kernel - 1, config.width)) for _ in range(blocks))


def encode_init(config: CodecConfig = _DEFAULT, batch: tuple[int, ...] = ()) -> State:
    """Return the encoder's state at the start of a stream, for a batch of that shape."""
    return _silence(config.encoder_fine + config.encoder_coarse, config, batch)


def decode_init(config: CodecConfig = _DEFAULT, batch: tuple[int, ...] = ()) -> State:
    """Return the decoder's state at the start of a stream, for a batch of that shape."""
    return _silence(config.decoder_coarse + config.decoder_fine, config, batch)


def init_params(rng: Array, config: CodecConfig = _DEFAULT) -> dict[str, Any]:
    """Return random params; `rng` is a JAX key."""
    first, second, third = jax.random.split(rng, 3)
    logs = jnp.zeros((FRAMES_PER_TOKEN, 3, BANDS))
    latent = jnp.zeros((1, config.latent))
    return {
        "encoder": _Encoder(config).init(first, logs, encode_init(config))["params"],
        "decoder": _Decoder(config).init(second, latent, decode_init(config))["params"],
        "codebooks": jax.random.normal(third, (config.levels, config.codebook, config.latent)),
    }


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
        The next state, and float32 (..., n, latent).
    """
    latent, after = _Encoder(config).apply({"params": params["encoder"]}, log_bands(bands), state)
    return after, latent


def quantise(codebooks: Array, latent: Array) -> Array:
    """Return codes, int32 (..., n, levels): each level's nearest vector to what the levels before left over."""
    rest, codes = latent, []
    for book in codebooks:
        code = jnp.argmin(0.5 * jnp.sum(book**2, axis=-1) - rest @ book.T, axis=-1).astype(jnp.int32)
        rest = rest - book[code]
        codes.append(code)
    return jnp.stack(codes, axis=-1)


def encode_step(params: Params, state: State, bands: Array, *, config: CodecConfig = _DEFAULT) -> tuple[State, Array]:
    """Encode the next frames of a stream into codes.

    Parameters
    ----------
    params, state, bands, config
        As for :func:`encode_latent`.

    Returns
    -------
    state, codes
        The next state, and int32 codes (..., n, levels), 0 .. codebook - 1.
    """
    after, latent = encode_latent(params, state, bands, config=config)
    return after, quantise(params["codebooks"], latent)


def codes_to_latent(params: Params, codes: Array) -> Array:
    """Return what codes stand for: the sum of their codebook vectors, float32 (..., n, latent).

    Parameters
    ----------
    params
        The codec's.
    codes
        int32 (..., n, levels). Fewer levels than the codec has are a coarser description of the same sound.
    """
    return sum((params["codebooks"][k][codes[..., k]] for k in range(codes.shape[-1])), start=jnp.float32(0))


def decode_latent(
    params: Params, state: State, latent: Array, *, config: CodecConfig = _DEFAULT
) -> tuple[State, Array]:
    """Decode latents of n token frames into log band magnitudes, float32 (..., 4 * n, 3, BANDS), floor included."""
    logs, after = _Decoder(config).apply({"params": params["decoder"]}, latent, state)
    return after, logs


def decode_step(params: Params, state: State, codes: Array, *, config: CodecConfig = _DEFAULT) -> tuple[State, Array]:
    """Decode the next token frames of a stream.

    Parameters
    ----------
    params, state
        From :func:`init_params` or a file; from :func:`decode_init` or an earlier step.
    codes
        int32 (..., n, levels or fewer).
    config
        Shape of the network.

    Returns
    -------
    state, bands
        The next state, and magnitudes of left, right and mid, float32 (..., 4 * n, 3, BANDS), linear, >= 0.
    """
    after, logs = decode_latent(params, state, codes_to_latent(params, codes), config=config)
    return after, jnp.maximum(jnp.exp(jnp.minimum(logs, _LOUDEST)) - FLOOR, 0)
