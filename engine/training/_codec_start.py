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
import optax
from jax import Array
from numpy.typing import NDArray
from rich.progress import track

from jackdaw.engine.models.tiny_codec import FLOOR, SCORE, CodecConfig, log_bands, quantise
from jackdaw.engine.models.tiny_detail import GROUPS, encode, salience, treble, treble_groups
from jackdaw.engine.models.tiny_spectrum import BANDS, CENTRE, FRAMES_PER_TOKEN, SPREAD, TURNS, band_edges

__all__ = ["audibility", "missed", "start_codebooks", "start_detail", "start_networks"]

_ROUNDS = 10
_PIECE = 16384
_IDLE = 8
"""Codes chosen less often than this in a round are wasted."""
_RATE, _ROWS = 1e-3, 1024
_LOUDEST = 4.0
"""Standard deviation of the first component of the latent."""

Floats = NDArray[np.float32]


def audibility() -> Floats:
    """Return a weight for each band: the root of its width in mel, 1 on average in square; shape (BANDS,)."""
    widths = np.diff(2595 * np.log10(1 + band_edges() / 700))
    weights: Floats = np.sqrt(widths / widths.mean()).astype(np.float32)
    return weights


def _components(values: Floats, count: int) -> tuple[Floats, Floats]:
    """First principal components of centred rows, (size, count), and their standard deviations."""
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
    fine, fine_spread = _components(values, config.width)
    patches = (values @ fine).reshape(-1, FRAMES_PER_TOKEN * config.width)
    coarse, coarse_spread = _components(patches, config.width)
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


def missed(bands: Array, turns: Array, logs: Array, arrows: Array) -> Array:
    """Return what a decoder missed in token frames, float32 (..., n, 3 * TURNS + 2 * GROUPS).

    First the mean over a frame's four of arrows, then of low log bands, each times its salience; then the levels of
    groups of treble in its first half and its second.

    Parameters
    ----------
    bands, turns
        Magnitudes, float32 (..., 4 * n, 3, BANDS), and turns of mid, (..., 4 * n, TURNS).
    logs, arrows
        What the decoder made of them: logarithms above its floor, and cosines and sines, (..., 4 * n, 2, TURNS).
    """
    shape = (*bands.shape[:-3], -1, FRAMES_PER_TOKEN)
    true, made = (x[..., 2, :].reshape(*shape, BANDS) for x in (log_bands(bands), logs))
    arrows = arrows.reshape(*shape, 2, TURNS)
    turns = turns.reshape(*shape, TURNS)
    mid = bands[..., 2, :].reshape(*shape, BANDS)
    weights = salience(mid[..., :TURNS])
    turned = weights[..., None, :] * (jnp.stack([jnp.cos(turns), jnp.sin(turns)], axis=-2) - arrows)
    low = jnp.minimum(weights, 1.0) * (true - made)[..., :TURNS]
    high = treble(mid) - treble(jnp.exp(jnp.minimum(made, 4.0)) - FLOOR)
    high = jnp.mean(high.reshape(*high.shape[:-2], 2, FRAMES_PER_TOKEN // 2, GROUPS), axis=-2)
    parts = jnp.mean(turned, axis=-3), jnp.mean(low, axis=-2, keepdims=True), high
    return jnp.concatenate([x.reshape(*x.shape[:-2], -1) for x in parts], axis=-1)


def _filled(directions: Floats) -> Floats:
    """Return what rows of :func:`missed` add to logs and arrows, (rows, FRAMES_PER_TOKEN * (3 * BANDS + 2 * TURNS))."""
    turned, low, high = np.split(directions, [2 * TURNS, 3 * TURNS], axis=1)
    logs = np.zeros((len(directions), FRAMES_PER_TOKEN, 3, BANDS))
    logs[..., :TURNS] = low[:, None, None]
    halves = high.reshape(-1, 2, GROUPS) @ treble_groups().T
    logs += np.repeat(halves, FRAMES_PER_TOKEN // 2, axis=1)[:, :, None]
    every = np.broadcast_to(turned[:, None], (len(directions), FRAMES_PER_TOKEN, 2 * TURNS))
    return np.concatenate([logs.reshape(*logs.shape[:2], -1), every], axis=-1).reshape(len(directions), -1)


def start_detail(
    encoder: dict[str, Any], values: Floats, rest: Floats, config: CodecConfig, steps: int, seed: int
) -> tuple[dict[str, Any], Floats]:
    """Return the detail's encoder, which tells principal components of what was missed, and how they are filled in.

    Parameters
    ----------
    encoder
        Its random tree.
    values
        What the encoder sees, float32 (count, FEATURES + latent + SCORE).
    rest
        What the decoder missed in these token frames, (count, 3 * TURNS + 2 * GROUPS), from :func:`missed`.
    config
        Shape of the network.
    steps, seed
        Of its training, after a linear regression.

    Returns
    -------
    encoder, fill
        The tree, and the matrix of the decoder's layer of that name.
    """
    parts = (slice(0, 3 * TURNS), config.detail - config.treble), (slice(3 * TURNS, None), config.treble)
    project, back, at = np.zeros((rest.shape[1], config.detail)), np.zeros((config.detail, rest.shape[1])), 0
    for where, count in parts:
        directions, spread = _components(rest[:, where] - rest[:, where].mean(axis=0), count)
        project[where, at : at + count] = directions * (_LOUDEST / spread[0])
        back[at : at + count, where] = directions.T * (spread[0] / _LOUDEST)
        at += count
    wanted = (rest @ project).astype(np.float32)
    mean, offset = values.mean(axis=0), wanted.mean(axis=0)
    seen = values - mean
    slopes = np.linalg.solve(seen.T @ seen + 1e-3 * len(seen) * np.eye(seen.shape[1]), seen.T @ (wanted - offset))
    linear = {"project": jnp.asarray(slopes, jnp.float32), "offset": jnp.asarray(offset - mean @ slopes, jnp.float32)}
    told = _taught({**encoder, **linear}, values, wanted, config.teller, steps, seed)
    return told, _filled(back.astype(np.float32)).astype(np.float32)


def _taught(encoder: Any, values: Floats, wanted: Floats, width: int, steps: int, seed: int) -> Any:
    """Return the encoder of the detail after so many steps towards what is wanted."""
    optimiser = optax.adamw(optax.cosine_decay_schedule(_RATE, steps), weight_decay=1e-3)

    @jax.jit
    def step(encoder: Any, state: Any, values: Array, wanted: Array) -> tuple[Any, Any, Array]:
        def loss(encoder: Any) -> Array:
            return jnp.mean((encode(encoder, values, width=width) - wanted) ** 2)

        error, slopes = jax.value_and_grad(loss)(encoder)
        moves, state = optimiser.update(slopes, state, encoder)
        return optax.apply_updates(encoder, moves), state, error

    draw, state, errors = np.random.default_rng(seed), optimiser.init(encoder), []
    for _ in track(range(steps), description="encoder of the detail"):
        rows = draw.integers(len(values), size=_ROWS)
        encoder, state, error = step(encoder, state, values[rows], wanted[rows])
        errors.append(error)
    first, last = (float(np.mean(part)) / wanted.var() for part in (errors[:20], errors[-100:]))
    print(f"detail: {first:.3f} of what was missed stays so after regression, {last:.3f} after training", flush=True)
    return encoder


def start_codebooks(latent: Floats, told_by: Floats, seed: int, codebook: int) -> Floats:
    """Return codebooks (levels, codebook, size) by k-means on `latent`, (count, size), level after level.

    Level k tells only those of the numbers where `told_by`, float32 (levels, 1, size), is 1.

    Give hundreds of vectors for each code: with 24 for each, the error on held-out music was a third larger.
    """
    draw, rest, books = np.random.default_rng(seed), latent.copy(), []
    for told in track(told_by, description="codebooks"):
        wanted = rest * told
        book = wanted[draw.choice(len(wanted), codebook, replace=False)]
        for _ in range(_ROUNDS):
            book = _centres(wanted, book, draw)
        books.append(book.astype(jnp.bfloat16).astype(np.float32))
        rest -= books[-1][_nearest(wanted, books[-1])]
    return np.stack(books)


@jax.jit
def _assign(book: Array, rest: Array) -> Array:
    return quantise(book[None], rest, paths=1)[:, 0]


def _nearest(rest: Floats, book: Floats) -> NDArray[np.int32]:
    return np.concatenate([np.asarray(_assign(book, rest[at : at + _PIECE])) for at in range(0, len(rest), _PIECE)])


def _centres(rest: Floats, book: Floats, draw: np.random.Generator) -> Floats:
    """One round: every vector of the book moves into the middle of those nearest to it; idle ones begin elsewhere."""
    codes = _nearest(rest, book)
    count = np.bincount(codes, minlength=len(book))
    order = np.argsort(codes, kind="stable")
    used = np.flatnonzero(count)
    sums = np.add.reduceat(rest[order], (np.cumsum(count) - count)[used], axis=0)
    moved: Floats = rest[draw.choice(len(rest), len(book))]
    busy = count[used] >= _IDLE
    moved[used[busy]] = sums[busy] / count[used[busy], None]
    return moved
