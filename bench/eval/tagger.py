"""musicnn without TensorFlow: an embedding of music that knows nothing of Jackdaw. Runs in the judges' environment.

The network and its weights are Pons and Serra's (2019, ISC licence; package ``musicnn``), trained on the Million Song
Dataset to name tags. Its weights lie in a TensorFlow checkpoint, which is a sorted table of names and places and one
file of raw numbers; both are read here, and the network is a few matrix products. The embedding is the penultimate
layer: 200 numbers for each 3 s.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import soxr
from numpy.typing import NDArray

__all__ = ["embed", "read_checkpoint", "tags"]

Array = NDArray[np.float32]
RATE, SIZE, HOP, MELS, PATCH = 16000, 512, 256, 96, 187
MODEL = "MSD_musicnn"
_EPSILON = 1e-3  # of TensorFlow's batch normalisation


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _rows(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block of a LevelDB table; keys share their beginnings with the one before."""
    (restarts,) = struct.unpack("<I", block[-4:])
    at, end, key = 0, len(block) - 4 * (restarts + 1), b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        yield key, block[at + fresh : at + fresh + size]
        at += fresh + size


def _fields(message: bytes) -> dict[int, int | bytes]:
    """Fields of a protocol buffer by number."""
    at, found = 0, {}
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(message, at)
        elif kind == 2:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        else:
            size = 4 if kind == 5 else 8
            value, at = message[at : at + size], at + size
        found[tag >> 3] = value
    return found


def _shape(message: bytes) -> list[int]:
    """Dimensions of a TensorShapeProto: field 2, each with its size in field 1."""
    at, sizes = 0, []
    while at < len(message):
        _, at = _varint(message, at)
        size, at = _varint(message, at)
        value = _fields(message[at : at + size]).get(1, 0)
        sizes.append(int(value))
        at += size
    return sizes


def read_checkpoint(folder: Path) -> dict[str, Array]:
    """Read the float32 tensors of a TensorFlow checkpoint (``.index`` and ``.data-00000-of-00001``).

    Raises
    ------
    ValueError
        If the index is not an uncompressed LevelDB table.
    """
    index = (folder / ".index").read_bytes()
    numbers = (folder / ".data-00000-of-00001").read_bytes()
    if index[-8:] != struct.pack("<Q", 0xDB4775248B80FB57):
        raise ValueError(f"{folder / '.index'} is not a TensorFlow checkpoint: install musicnn again")

    def block(at: int, size: int) -> bytes:
        if index[at + size] != 0:
            raise ValueError(f"{folder / '.index'} is compressed: install musicnn 0.1.0")
        return index[at : at + size]

    footer = index[-48:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    start, at = _varint(footer, at)
    size, at = _varint(footer, at)
    tensors = {}
    for _, handle in _rows(block(start, size)):
        place, after = _varint(handle, 0)
        for key, value in _rows(block(place, _varint(handle, after)[0])):
            entry = _fields(value)
            if key and entry.get(1) == 1:  # DT_FLOAT
                first, count = int(entry.get(4, 0)), int(entry[5])
                shape = _shape(entry.get(2, b""))  # type: ignore[arg-type]
                tensors[key.decode()] = np.frombuffer(numbers[first : first + count], "<f4").reshape(shape)
    return tensors


@cache
def _weights() -> dict[str, Array]:
    found = importlib.util.find_spec("musicnn")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("musicnn is not installed: run scripts/setup-judges")
    return read_checkpoint(Path(next(iter(found.submodule_search_locations))) / MODEL)


def _name(kind: str, number: int) -> str:
    return kind if number == 0 else f"{kind}_{number}"


def _normed(x: Array, number: int) -> Array:
    w, name = _weights(), _name("batch_normalization", number)
    scale = w[f"{name}/gamma"] / np.sqrt(w[f"{name}/moving_variance"] + _EPSILON)
    out: Array = (x - w[f"{name}/moving_mean"]) * scale + w[f"{name}/beta"]
    return out


def _convolved(x: Array, number: int) -> Array:
    """Convolve (time, bands) with a bank, ReLU, and normalise: (time, places, filters). Time has been padded."""
    w = _weights()
    kernel = w[f"{_name('conv2d', number)}/kernel"][:, :, 0]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2])
    flat = windows.reshape(*windows.shape[:2], -1) @ kernel.reshape(-1, kernel.shape[2])
    return _normed(np.maximum(flat + w[f"{_name('conv2d', number)}/bias"], 0), number + 1)


def _padded(x: Array, length: int) -> Array:
    before = (length - 1) // 2
    return np.pad(x, ((before, length - 1 - before), (0, 0)))


def _pooled(x: Array) -> Array:
    """All that is known of one patch, shape (1506,)."""
    x = _normed(x[..., None], 0)[..., 0]
    front = [_convolved(_padded(x, 7), number).max(axis=1) for number in (0, 1)]
    front += [_convolved(_padded(x, length), number).max(axis=1) for number, length in ((2, 128), (3, 64), (4, 32))]
    layers = [np.concatenate(front, axis=1)]
    layers.append(_convolved(_padded(layers[-1], 7), 5)[:, 0])
    for number in (6, 7):
        layers.append(layers[-1] + _convolved(_padded(layers[-1], 7), number)[:, 0])
    every = np.concatenate(layers, axis=1)
    # flattened as (features, max and mean)
    return np.stack([every.max(axis=0), every.mean(axis=0)], axis=1).ravel()


def _dense(x: Array, number: int) -> Array:
    w, name = _weights(), _name("dense", number)
    out: Array = x @ w[f"{name}/kernel"] + w[f"{name}/bias"]
    return out


def _patches(audio: NDArray[np.float32], rate: int) -> Iterator[Array]:
    mono = soxr.resample(audio.mean(axis=1), rate, RATE)
    mel = librosa.feature.melspectrogram(y=mono, sr=RATE, hop_length=HOP, n_fft=SIZE, n_mels=MELS).T
    x = np.log10(10000 * mel + 1).astype(np.float32)
    for start in range(0, max(1, len(x) - PATCH + 1), PATCH):
        piece = x[start : start + PATCH]
        yield np.pad(piece, ((0, PATCH - len(piece)), (0, 0)))


def _penultimate(audio: NDArray[np.float32], rate: int) -> Array:
    pooled = np.stack([_pooled(patch) for patch in _patches(audio, rate)])
    return _normed(np.maximum(_dense(_normed(pooled, 9), 0), 0), 10)


def embed(audio: NDArray[np.float32], rate: int) -> Array:
    """Return the mean embedding of audio of shape (samples, channels) over its patches of 3 s, shape (200,)."""
    return np.asarray(_penultimate(audio, rate).mean(axis=0), np.float32)


def tags(audio: NDArray[np.float32], rate: int) -> Array:
    """Return the probabilities of musicnn's 50 tags, shape (50,)."""
    return np.asarray(1 / (1 + np.exp(-_dense(_penultimate(audio, rate).mean(axis=0), 1))), np.float32)
