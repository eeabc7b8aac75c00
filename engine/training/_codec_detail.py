"""The detail of the codec of `tiny`, made by statistics from a codec that has learnt: nothing here learns by slopes.

Tones are parted into principal components, and their phases turned at random by the same angle in a whole clip, as any
angle is as good; the envelope is parted from what a linear regression expects of the codes of the sound. What is left
is quantised by k-means. The loudest of what was heard, gains of the clips included, is the ceiling of what is made.
"""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jackdaw.engine.models import tiny_codec, tiny_detail
from jackdaw.engine.models.tiny_codec import CodecConfig
from jackdaw.engine.models.tiny_spectrum import BANDS
from jackdaw.engine.training._codec_start import principal, start_codebooks

__all__ = ["make_detail"]

_BESIDE = 8
"""Bands to either side of one that count for its ceiling."""
_RIDGE = 1e-3
_FOR_COMPONENTS = 1 << 15

Floats = NDArray[np.float32]


def make_detail(
    params: dict[str, Any], clips: Iterable[tuple[Array, Array]], config: CodecConfig, seed: int
) -> dict[str, Any]:
    """Return ``detail`` of the codec's parameters, and print how much of it its codes lose.

    Parameters
    ----------
    params
        Of the codec; its detail is not read.
    clips
        Bands (rows, 4 * n, 3, BANDS) and phases (rows, 4 * n, TURNS) of short clips.
    config
        Its shape.
    seed
        Of what is drawn at random.
    """
    draw = np.random.default_rng(seed)

    @jax.jit
    def seen(bands: Array, phases: Array) -> tuple[Array, Array, Array]:
        codes = tiny_codec.quantise(params["codebooks"], tiny_codec.encode_latent(params, (), bands, config=config)[1])
        said = tiny_codec.summed(params["codebooks"], codes)
        return tiny_detail.tones(bands, phases), said, tiny_detail.envelope(bands)

    rows, loudest = [], np.zeros(BANDS, np.float32)
    for bands, phases in clips:
        loudest = np.maximum(loudest, np.asarray(bands).max(axis=(0, 1, 2)))
        turned = phases + 2 * np.pi * draw.random((len(phases), 1, 1), np.float32)
        rows.append([np.asarray(part) for part in seen(bands, turned)])
    tones, said, envelope = (np.concatenate(part).reshape(-1, part[0].shape[-1]) for part in zip(*rows, strict=True))
    sounding = np.linalg.norm(tones, axis=1) > 0.5
    tones = tones[sounding]
    components = principal(tones[:_FOR_COMPONENTS], config.components)[0]
    expect, rest = _regression(said, envelope)
    books = {}
    for name, values, levels in (
        ("tones", tones @ _rounded(components), config.tone_levels),
        ("envelope", rest, config.envelope_levels),
    ):
        telling = np.ones((levels, 1, 1), np.float32)
        books[name] = start_codebooks(values, telling, seed, config.codebook, name)
        some, whole = jnp.asarray(values[: 1 << 13]), jnp.asarray(books[name])
        left = some - tiny_codec.summed(whole, tiny_codec.quantise(whole, some))
        print(f"{name}: {float((left**2).sum() / (some**2).sum()):.3f} of what is told is lost", flush=True)
    made = {"ceiling": _ceiling(loudest), "components": components, "expect": expect, **books}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), made)


def _ceiling(loudest: Floats) -> Floats:
    """Return the ceiling, logarithms (BANDS,), of the greatest magnitudes that were heard."""
    beside = np.lib.stride_tricks.sliding_window_view(np.pad(loudest, _BESIDE, mode="edge"), 2 * _BESIDE + 1)
    ceiling: Floats = np.log(beside.max(axis=1) + tiny_codec.FLOOR).astype(np.float32)
    return ceiling


def _rounded(values: Floats) -> Floats:
    """Return values as files hold them."""
    return np.asarray(values.astype(jnp.bfloat16), np.float32)


def _regression(said: Floats, wanted: Floats) -> tuple[dict[str, Floats], Floats]:
    """Return what expects `wanted` of what is said, as files hold it, and what it misses."""
    mean, middle = said.mean(axis=0), wanted.mean(axis=0)
    away = said - mean
    square = away.T @ away + _RIDGE * len(away) * np.eye(away.shape[1], dtype=np.float32)
    project = _rounded(np.linalg.solve(square, away.T @ (wanted - middle)))
    offset = _rounded(middle - mean @ project)
    rest = wanted - said @ project - offset
    print(f"envelope: {rest.var() / wanted.var(axis=0).mean():.3f} of its variance is not expected", flush=True)
    return {"project": project, "offset": offset}, rest
