"""What Magenta RealTime 2 is told about a frame: from controls to a row of integers, and from these to one vector.

A row has a channel for every level of the style, for every pitch of the piano roll, for the drums, and for the guidance
of style, notes and drums, in this order. Guidance is a token like the others: the model was trained to act as if it
were guided, so that it costs nothing. A channel that is not given is masked, and its token is one of the reserved.

Rows are made from controls by NumPy on the player's thread (:func:`channels`), and embedded inside the step
(:func:`condition`). Nothing is kept between frames: the ring of the temporal stack's cross-attention is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.mrt2_config import CHANNELS, NOTES, RESERVED, MRT2Config

__all__ = ["GUIDANCE", "MASKED", "channels", "condition", "guidance_scale", "guidance_token", "layer_norm", "masked"]

MASKED = -1
"""Value of a channel that is not given."""

GUIDANCE = (-1.0, 7.0)
"""Range of guidance; 0 is none, and what lies outside counts as the nearest end."""

_OFFSET = RESERVED + 1
"""Values are fed with this added; guidance too, although its tables have no row for a token left out."""

_STEPS = {"style": 0.2, "notes": 0.2, "drums": 1.0}
_OFF, _SUSTAINED, _BEGINS, _ON = range(4)


def guidance_token(scale: float, step: float) -> int:
    """Return the token of a guidance scale.

    Parameters
    ----------
    scale
        Clamped to GUIDANCE.
    step
        Of the scale between two tokens: 0.2 for style and notes, 1 for drums.

    Returns
    -------
    int
        0 .. 8 / step; halves go to the even token, in float64, as in `magenta-rt`.
    """
    low, high = GUIDANCE
    return round((min(max(float(scale), low), high) - low) / step)


def _pitches(held: Iterable[int] | None, begun: Iterable[int], unmask: int, onsets: bool) -> NDArray[np.int32]:
    """Return the piano roll's 128 values: pitches further than `unmask` from every held one are the model's choice."""
    values = np.full(NOTES, MASKED, np.int32)
    if held is None:
        return values
    if unmask >= NOTES - 1:
        values[:] = _OFF
    for note in held:
        values[max(note - unmask, 0) : note + unmask + 1] = _OFF
    for note in held:
        values[note] = _SUSTAINED if onsets else _ON
    for note in begun if onsets else ():
        values[note] = _BEGINS
    return values


def channels(
    config: MRT2Config,
    style: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    notes: Iterable[int] | None = None,
    begun: Iterable[int] = (),
    drums: bool | None = None,
    guidance: tuple[float, float, float] = (3.0, 1.0, 1.0),
    *,
    unmask: int = 0,
    onsets: bool = False,
) -> NDArray[np.int32]:
    """Return the row of a frame.

    Parameters
    ----------
    config
        Of the model.
    style
        Tokens of the style, coarsest first, each 0 .. codebook - 1 or MASKED; levels that are missing are masked.
    notes
        Pitches held, 0 .. 127, or None if nobody plays any.
    begun
        Those of them that begin in this frame.
    drums
        Whether there are to be drums; None leaves it to the model.
    guidance
        How strongly style, notes and drums are followed, each in GUIDANCE; 0 is as trained.
    unmask
        0 .. 127: how many semitones around a held pitch no other may sound; 127 forbids all others, and all if none is
        held.
    onsets
        Whether a pitch is to begin in the frame in which it is pressed and be held after that; if not, the model
        decides when a held pitch is struck.

    Returns
    -------
    array
        Int32 (style_levels + CHANNELS,): what :func:`condition` takes.

    Raises
    ------
    ValueError
        If a token or a pitch is out of range.
    """
    tokens = np.full(config.style_levels, MASKED, np.int32)
    given = np.asarray([] if style is None else style, np.int32)
    if given.ndim != 1 or len(given) > len(tokens) or np.any((given < MASKED) | (given >= config.style_codebook)):
        raise ValueError(
            f"style tokens of shape {given.shape}: give up to {len(tokens)} from 0 to {config.style_codebook - 1}"
        )
    tokens[: len(given)] = given
    held = None if notes is None else sorted(notes)
    if held and not 0 <= held[0] <= held[-1] < NOTES:
        raise ValueError(f"notes {held}: pitches are 0 to {NOTES - 1}")
    followed = [guidance_token(scale, step) for scale, step in zip(guidance, _STEPS.values(), strict=True)]
    drummed = MASKED if drums is None else int(drums)
    roll = _pitches(held, sorted(set(begun).intersection(held or ())), unmask, onsets)
    return np.concatenate([tokens, roll, np.array([drummed, *followed], np.int32)]) + np.int32(_OFFSET)


def masked(config: MRT2Config, row: NDArray[np.int32], what: str) -> NDArray[np.int32]:
    """Return a row without its style or without its notes, as the branches of classifier-free guidance are fed.

    Parameters
    ----------
    config, row
        From :func:`channels`.
    what
        ``style``, ``notes`` or ``drums``.
    """
    levels = config.style_levels
    places = {"style": slice(levels), "notes": slice(levels, levels + NOTES), "drums": slice(-4, -3)}
    without = row.copy()
    without[places[what]] = MASKED + _OFFSET
    return without


def guidance_scale(row: NDArray[np.int32], what: str) -> float:
    """Return the scale that a row tells of the guidance of ``style``, ``notes`` or ``drums``."""
    channel = tuple(_STEPS).index(what) - len(_STEPS)
    return GUIDANCE[0] + _STEPS[what] * (int(row[channel]) - _OFFSET)


def layer_norm(params: Mapping[str, Any], x: jax.Array) -> jax.Array:
    """Normalise the last axis, then scale and shift (Ba et al. 2016)."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    spread = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(spread + 1e-6) * params["scale"] + params["bias"]


def condition(params: Mapping[str, Any], config: MRT2Config, rows: jax.Array) -> jax.Array:
    """Embed rows.

    Parameters
    ----------
    params
        ``params["depthformer"]["encoder"]`` of a checkpoint.
    config
        Of the model.
    rows
        Int32 (..., style_levels + CHANNELS), from :func:`channels`.

    Returns
    -------
    array
        Float32 (..., condition_width).
    """
    body = params["body"]
    style = body["layers_1"]["branched_mulan_embedder"]["mulan_embedder"]
    others = body["layers_1"]["branched_regular_embedder"]["regular_embedder"]
    first = np.arange(config.style_levels, dtype=np.int32) * config.style_rows
    found = style["mulan_dequantizer"]["embedding"][rows[..., :-CHANNELS] + first]
    styled = jnp.sum(found, axis=-2) @ style["depth_input_adapter"]["kernel"]
    starts = np.cumsum((0, *config.channel_rows[:-1]), dtype=np.int32)
    # the highest guidance lies one row past its channel, in the next one's: so it was trained
    told = jnp.mean(others["embedding"][rows[..., -CHANNELS:] + starts], axis=-2)
    return layer_norm(body["encoder_ln"], (styled + told) / 2)
