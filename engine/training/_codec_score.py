"""The codec's reader of the score: targets from a song's labels, and its training.

The reader (``encoder/score`` of ``tiny_codec``) learns which pitch classes sound in a token frame, which of them low,
and which drums are struck, from the bands of that frame alone.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray
from rich.progress import track

from jackdaw.engine.models.tiny_codec import SCORE, score_logits
from jackdaw.engine.models.tiny_spectrum import FRAMES_PER_TOKEN, RATE, TOKEN_SAMPLES
from jackdaw.engine.training._features import unpack

__all__ = ["score_targets", "train_reader"]

_DRUMS = 9
"""MIDI channel, counted from 0."""
_LOW = 53
_KINDS = ((35, 36), (37, 38, 39, 40), (42, 44, 46, 69, 70, 82), (49, 51, 52, 53, 55, 57, 59), (41, 43, 45, 47, 48, 50))
_KIND = {pitch: kind for kind, pitches in enumerate(_KINDS) for pitch in pitches}
_CLIPS, _FRAMES = 96, 8
_RATE, _WARM_UP = 1.5e-3, 50

Packed = NDArray[np.uint8]


def score_targets(notes: Sequence[Sequence[Any]], frames: int) -> NDArray[np.uint8]:
    """Return what a reader of the score should find, uint8 (frames, SCORE), 0 or 1.

    Parameters
    ----------
    notes
        Rows of a song's labels: start and end in seconds, MIDI pitch, channel, and more.
    frames
        Token frames.
    """
    out = np.zeros((frames, SCORE), np.uint8)
    for start, end, pitch, channel, *_ in notes:
        first = int(start * RATE / TOKEN_SAMPLES)
        last = max(first + 1, int(np.ceil(end * RATE / TOKEN_SAMPLES)))
        if first >= frames:
            continue
        if channel == _DRUMS:
            out[first, 24 + _KIND.get(pitch, len(_KINDS))] = 1
            continue
        out[first:last, pitch % 12] = 1
        if pitch < _LOW:
            out[first:last, 12 + pitch % 12] = 1
    return out


def _drawn(songs: Sequence[Packed], targets: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> dict[str, Any]:
    bands, wanted = [], []
    for index in rng.integers(0, len(songs), _CLIPS):
        start = int(rng.integers(0, len(targets[index]) - _FRAMES))
        where = slice(FRAMES_PER_TOKEN * start, FRAMES_PER_TOKEN * (start + _FRAMES))
        bands.append(songs[index][where])
        wanted.append(targets[index][start : start + _FRAMES])
    return {"packed": np.stack(bands), "wanted": np.stack(wanted).astype(np.float32)}


@partial(jax.jit, donate_argnums=(0, 1), static_argnames="optimiser")
def _step(
    reader: Any, state: Any, batch: dict[str, Array], rate: Array, *, optimiser: optax.GradientTransformation
) -> tuple[Any, Any, Array]:
    def loss(reader: Any) -> Array:
        logits = score_logits(reader, unpack(batch["packed"]) * batch["gains"][:, None, None, None])
        return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, batch["wanted"]))

    value, slopes = jax.value_and_grad(loss)(reader)
    moves, state = optimiser.update(slopes, state, reader)
    return jax.tree.map(lambda p, m: p + rate * m, reader, moves), state, value


def train_reader(
    reader: Any,
    songs: Sequence[Packed],
    targets: Sequence[NDArray[np.uint8]],
    steps: int,
    seed: int,
    gains_db: Sequence[float],
) -> Any:
    """Return the reader after so many steps over random clips at random gains.

    Parameters
    ----------
    reader
        Its random tree.
    songs, targets
        8-bit features (frames * FRAMES_PER_TOKEN, ...) and :func:`score_targets` of each song.
    steps, seed
        Length of the training, and its randomness.
    gains_db
        Least and largest gain.
    """
    long = [index for index, target in enumerate(targets) if len(target) > _FRAMES]
    songs, targets = [songs[index] for index in long], [targets[index] for index in long]
    optimiser = optax.adamw(1.0, b2=0.98, weight_decay=1e-4)
    rng, state, losses = np.random.default_rng([seed, 1]), optimiser.init(reader), []
    for step in track(range(steps), description="reader of the score"):
        batch = _drawn(songs, targets, rng)
        batch["gains"] = (10 ** (rng.uniform(gains_db[0], gains_db[1], _CLIPS) / 20)).astype(np.float32)
        rate = _RATE * min(1.0, (step + 1) / _WARM_UP) * (1.0 - step / steps)
        reader, state, loss = _step(reader, state, batch, jnp.float32(rate), optimiser=optimiser)
        losses.append(loss)
    print(f"reader of the score: cross entropy {float(np.mean(losses[-100:])):.4f} nats a chance", flush=True)
    return reader
