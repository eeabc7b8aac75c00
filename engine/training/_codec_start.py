"""The codec's encoder and codebooks, and where its decoder starts: principal components of log spectra, and k-means.

Log spectra are weighted by audibility (the width of each band in mel) before the analysis, so that components and codes
go where ears are fine. The main path of the decoder is linear, so its dense layers can be set such that it is, with the
residual blocks still silent, the inverse of the projection. Channels between the blocks have unit variance; latents
keep the natural proportions, so that squared distance means audible error of the spectrum.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray
from rich.progress import track

from jackdaw.engine.models.tiny_codec import SCORE, CodecConfig, quantise
from jackdaw.engine.models.tiny_spectrum import BANDS, CENTRE, FRAMES_PER_TOKEN, SPREAD, band_edges

__all__ = ["audibility", "principal", "start_codebooks", "start_networks"]

_ROUNDS = 10
_PIECE = 16384
_STEADY = 2
"""Of the rounds, the last ones, in which no code begins elsewhere."""
_IDLE = 0.25
"""Codes chosen less often than this, in parts of the mean, are wasted."""
_BESIDE = 0.1
"""How far from a busy code, towards one of its vectors, an idle one begins. What is left over after some levels has
hardly a direction: a vector of it is nearer to what is short than to any other, so codes that begin as vectors stay
alone."""
_LOUDEST = 4.0
"""Standard deviation of the first component of the latent."""

Floats = NDArray[np.float32]


def audibility() -> Floats:
    """Return a weight for each band: the root of its width in mel, 1 on average in square; shape (BANDS,)."""
    widths = np.diff(2595 * np.log10(1 + band_edges() / 700))
    weights: Floats = np.sqrt(widths / widths.mean()).astype(np.float32)
    return weights


def principal(values: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the first principal components of centred rows, (size, count), and their standard deviations."""
    spread, directions = np.linalg.eigh(values.T @ values / len(values))
    return directions[:, ::-1][:, :count], np.sqrt(np.maximum(spread[::-1][:count], 1e-6))


def start_networks(params: dict[str, Any], logs: Floats, config: CodecConfig) -> dict[str, Any]:
    """Return `params` with the encoder made from `logs`, and the decoder as its inverse.

    Parameters
    ----------
    params
        Random params; the decoder's residual blocks are kept.
    logs
        Logarithms of band magnitudes above the encoder's floor, shape (clips, frames, 3, BANDS), frames a multiple of
        FRAMES_PER_TOKEN.
    config
        Shape of the network.
    """
    weights = np.tile(audibility(), 3)
    values = logs.reshape(-1, 3 * BANDS)
    mean = values.mean(axis=0)
    values = (values - mean) * weights
    fine, fine_spread = principal(values, config.width)
    patches = (values @ fine).reshape(-1, FRAMES_PER_TOKEN * config.width)
    coarse, coarse_spread = principal(patches, config.width)
    scale = _LOUDEST / coarse_spread[0]
    four = np.tile(fine_spread, FRAMES_PER_TOKEN)[:, None]
    first = coarse[:, : config.latent].reshape(FRAMES_PER_TOKEN, config.width, config.latent)
    project = np.einsum("b,bc,tcl->tbl", weights, fine, first) * scale
    pick = np.eye(config.latent + SCORE, config.width)
    pick[config.latent :] = 0.0  # of the score, the inverse knows nothing
    dense = {
        "latent": (pick / (scale * coarse_spread), np.zeros(config.width)),
        "unfold": ((coarse * coarse_spread / four).T, np.zeros(FRAMES_PER_TOKEN * config.width)),
        "write": ((fine * fine_spread).T / (weights * SPREAD), (mean - CENTRE) / SPREAD),
    }
    layers = {
        name: {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
        for name, (kernel, bias) in dense.items()
    }
    project = project.reshape(-1, config.latent)
    encoder = {**params["encoder"], "mean": jnp.asarray(mean), "project": jnp.asarray(project, jnp.float32)}
    return {**params, "encoder": encoder, "decoder": {**params["decoder"], **layers}}


def start_codebooks(latent: Floats, told_by: Floats, seed: int, codebook: int, name: str = "codebooks") -> Floats:
    """Return codebooks (levels, codebook, size) by k-means on `latent`, (count, size), level after level.

    Level k tells only those of the numbers where `told_by`, float32 (levels, 1, size), is 1.

    Give hundreds of vectors for each code: with 24 for each, the error on held-out music was a third larger.
    """
    draw, rest, books = np.random.default_rng(seed), latent.copy(), []
    for told in track(told_by, description=name):
        wanted = rest * told
        book = _BESIDE * wanted[draw.choice(len(wanted), codebook, replace=False)]
        for number in range(_ROUNDS):
            book = _centres(wanted, book, draw, settled=number >= _ROUNDS - _STEADY)
        books.append(book.astype(jnp.bfloat16).astype(np.float32))
        rest -= books[-1][_nearest(wanted, books[-1])]
    return np.stack(books)


@jax.jit
def _assign(book: Array, rest: Array) -> Array:
    return quantise(book[None], rest, paths=1)[:, 0]


def _nearest(rest: Floats, book: Floats) -> NDArray[np.int32]:
    return np.concatenate([np.asarray(_assign(book, rest[at : at + _PIECE])) for at in range(0, len(rest), _PIECE)])


def _centres(rest: Floats, book: Floats, draw: np.random.Generator, *, settled: bool) -> Floats:
    """One round: every vector of the book moves into the middle of those nearest to it; idle ones, to a busy one."""
    codes = _nearest(rest, book)
    count = np.bincount(codes, minlength=len(book))
    order = np.argsort(codes, kind="stable")
    used = np.flatnonzero(count)
    moved = book.copy()
    moved[used] = np.add.reduceat(rest[order], (np.cumsum(count) - count)[used], axis=0) / count[used, None]
    if not settled:
        idle = np.flatnonzero(count < _IDLE * len(rest) / len(book))
        near = draw.choice(len(rest), len(idle))
        moved[idle] = (1 - _BESIDE) * moved[codes[near]] + _BESIDE * rest[near]
    return moved
