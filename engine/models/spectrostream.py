"""SpectroStream, the codec of Magenta RealTime: stereo at 48 kHz to codes and back, 25 frames a second.

Sound becomes the complex spectra of 100 windows a second, convolutions over time and frequency make an embedding a
frame of them, and the embedding is the sum of one vector of each of up to 64 codebooks. Decoding goes the other way.
Left and right go through the same weights apart from each other, but for the layers nearest to the embedding.

Every function is pure, over the tree of an official file, and takes any number of whole frames: a convolution's past is
its last inputs, and a stream that begins has zeros there, so that a sequence as a whole is one long step. States are
dicts of arrays, by the names of the layers. In float32, as it must be: activations are large.

The encoder needs AHEAD samples beyond a frame, so :func:`encode_step` gives the frames that end AHEAD samples before
the end of what it was given. The decoder needs the next frame, so :func:`decode_step` gives the sound of the frame
before the newest, and silence at first. :func:`encode` and :func:`decode` give every frame in its place.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jackdaw.engine.models.spectrostream_layers import Layers, State, elu

__all__ = [
    "AHEAD",
    "FRAME",
    "decode",
    "decode_init",
    "decode_step",
    "dequantise",
    "encode",
    "encode_init",
    "encode_step",
    "quantise",
]

FRAME = 1920
"""Samples of a frame: 40 ms."""

AHEAD = 480
"""Samples beyond a frame that the encoder needs; also from one window to the next."""

_WINDOWS = FRAME // AHEAD
_LENGTH = 2 * AHEAD
_BINS = AHEAD
_RATIOS = ((1, 2), (1, 2), (1, 3), (1, 2), (1, 2), (2, 2), (2, 1))
_JOINT = 6
_COARSEST = _BINS // prod(fine for _, fine in _RATIOS)
_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_LENGTH) / _LENGTH)).astype(np.float32)
_SYNTHESIS = (_HANN / np.tile((_HANN.reshape(2, AHEAD) ** 2).sum(axis=0), 2)).astype(np.float32)

Params = Mapping[str, Any]


def _spectra(samples: jax.Array) -> jax.Array:
    """Return float32 (sides, windows, bins, real and imaginary) of (AHEAD x (windows + 1), sides) samples."""
    halves = samples.reshape(-1, AHEAD, samples.shape[-1])
    windows = jnp.concatenate([halves[:-1], halves[1:]], axis=1) * _HANN[:, None]
    found = jnp.fft.rfft(windows, axis=1)[:, :_BINS]
    return jnp.moveaxis(jnp.stack([found.real, found.imag], axis=-1), 2, 0)


def _embedded(layers: Layers, spectra: jax.Array) -> jax.Array:
    """Return float32 (frames, features) of spectra of whole frames."""
    x = layers.conv("base_conv_first", spectra)
    for unit, ratio in enumerate(_RATIOS):
        if unit == _JOINT:
            x = jnp.concatenate(list(x), axis=-1)[None]
        x = layers.narrower(f"encoder_{unit}", x, ratio)
    x = layers.residual("bottleneck", x, "conv2d_3x3", "conv2d_3x3_a")[0]
    flat = x.reshape(len(x), -1)
    last = "output_convs/shortcut_layer"
    side = layers.dense(f"{last}/conv1x1_b2", elu(layers.dense(f"{last}/conv1x1_b1", elu(flat))))
    return layers.dense("output_convs/conv1x1_last", flat) + side


def _unfolded(layers: Layers, embedding: jax.Array) -> jax.Array:
    """Return spectra, float32 (sides, windows, bins, real and imaginary), of whole frames."""
    first = "input_layer/shortcut_layer"
    side = layers.dense(f"{first}/conv1x1_b2", elu(layers.dense(f"{first}/conv1x1_b1", embedding)))
    flat = layers.dense("input_layer/conv1x1_first", embedding) + side
    x = flat.reshape(1, len(flat), _COARSEST, -1)
    x = layers.residual("input_layers_residual_unit", x, "conv2d_3x3_a", "conv2d_3x3")
    for unit, ratio in enumerate(_RATIOS[::-1]):
        x = layers.wider(f"decoder_{unit}", x, ratio)
        if unit == 0:
            x = jnp.concatenate(jnp.split(x, 2, axis=-1))
    return layers.conv("output_layer/base_conv_last", elu(x))


def _begun(run: Callable[..., Any], params: Params, shape: tuple[int, ...]) -> State:
    """Return zeros for the pasts that a network asks for."""

    def pasts(params: Params, x: jax.Array) -> State:
        layers = Layers(params, {})
        run(layers, x)
        return layers.following

    sizes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.float32), dict(params))
    shapes = jax.eval_shape(pasts, sizes, jax.ShapeDtypeStruct(shape, jnp.float32))
    return {name: np.zeros(leaf.shape, np.float32) for name, leaf in shapes.items()}


def encode_init(params: Params) -> State:
    """Return the state of an encoder, ``params["encoder"]``, that has heard nothing."""
    return {**_begun(_embedded, params, (2, _WINDOWS, _BINS, 2)), "samples": np.zeros((AHEAD, 2), np.float32)}


def encode_step(params: Params, state: Mapping[str, Any], audio: jax.Array) -> tuple[State, jax.Array]:
    """Embed frames as they come.

    Parameters
    ----------
    params
        ``params["encoder"]`` of the codec's file.
    state
        From :func:`encode_init` or an earlier step.
    audio
        Float32 (frames x FRAME, 2).

    Returns
    -------
    state, embedding
        The next state, and float32 (frames, features) of the frames that end AHEAD samples before the end of `audio`.
    """
    samples = jnp.concatenate([state["samples"], audio])
    layers = Layers(params, state)
    embedding = _embedded(layers, _spectra(samples))
    return {**layers.following, "samples": samples[-AHEAD:]}, embedding


def encode(params: Params, audio: jax.Array) -> jax.Array:
    """Embed a recording, float32 (frames x FRAME, 2): float32 (frames, features), each in its place."""
    return _embedded(Layers(params, {}), _spectra(jnp.pad(audio, ((0, AHEAD), (0, 0)))))


def decode_init(params: Params) -> State:
    """Return the state of a decoder, ``params["decoder"]``, that has decoded nothing."""
    features = params["input_layer"]["conv1x1_first"]["conv"]["kernel"].shape[2]
    begun = {"begun": np.zeros((), bool), "tail": np.zeros((AHEAD, 2), np.float32)}
    return {**_begun(_unfolded, params, (1, features)), **begun}


def decode_step(params: Params, state: Mapping[str, Any], embedding: jax.Array) -> tuple[State, jax.Array]:
    """Decode frames as they come.

    Parameters
    ----------
    params
        ``params["decoder"]`` of the codec's file, or ``params["soundstream"]["decoder"]`` of a checkpoint.
    state
        From :func:`decode_init` or an earlier step.
    embedding
        Float32 (frames, features).

    Returns
    -------
    state, audio
        The next state, and float32 (frames x FRAME, 2): the sound, a frame behind.
    """
    layers = Layers(params, state)
    spectra = _unfolded(layers, embedding)
    sounding = jnp.arange(spectra.shape[1]) >= jnp.where(state["begun"], 0, _WINDOWS)  # the first windows are too early
    values = jnp.pad(spectra, ((0, 0), (0, 0), (0, 1), (0, 0)))
    windows = jnp.fft.irfft(jax.lax.complex(values[..., 0], values[..., 1]), axis=-1) * _SYNTHESIS
    first, second = jnp.split(jnp.moveaxis(jnp.where(sounding[None, :, None], windows, 0.0), 0, -1), 2, axis=1)
    late = jnp.concatenate([state["tail"][None], second])
    audio = (first + late[:-1]).reshape(-1, 2)
    return {**layers.following, "begun": np.ones((), bool), "tail": late[-1]}, audio


def decode(params: Params, embedding: jax.Array) -> jax.Array:
    """Decode a recording's embeddings, float32 (frames, features): float32 ((frames - 1) x FRAME, 2).

    The last frame can't be decoded: its sound depends on the next one.
    """
    return decode_step(params, decode_init(params), embedding)[1][FRAME:]


def quantise(books: jax.Array, embedding: jax.Array, levels: int) -> jax.Array:
    """Return the codes of embeddings: at every level the vector nearest to what the coarser ones leave.

    Parameters
    ----------
    books
        Float32 (stored levels, codebook, features).
    embedding
        Float32 (frames, features).
    levels
        How many, up to those stored.

    Returns
    -------
    array
        Int32 (frames, levels); of equally near vectors the first.
    """
    codes = []
    for book in books[:levels]:
        distance = jnp.sum(jnp.square(book), axis=-1) - 2 * embedding @ book.T
        codes.append(jnp.argmin(distance, axis=-1).astype(jnp.int32))
        embedding = embedding - book[codes[-1]]
    return jnp.stack(codes, axis=-1)


def dequantise(books: jax.Array, codes: jax.Array) -> jax.Array:
    """Return the embeddings, float32 (frames, features), of codes, int32 (frames, levels)."""
    found = books[0][codes[:, 0]]
    for level in range(1, codes.shape[1]):
        found = found + books[level][codes[:, level]]
    return found
