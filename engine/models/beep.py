"""Test models that need no weights: what they play at every position is known, and they echo what they hear.

Three variants, by name:

``beep``
    a beep every half second, whose pitch follows the style, plus the echo of what is heard; while MIDI notes are held,
    the beeps have the pitch of the highest of them instead;
``beep-echo``
    the echo alone: silence in, silence out;
``beep-ramp``
    the integer ramp ``(n + 1) mod 2**24 / 2**24`` on the left and its negative on the right, where n counts samples
    from the start; float32 holds every value exactly, so one lost, repeated or altered sample shows. Hears nothing.

Tokens are levels: each frame is cut into four parts, and a part's code is its peak in tenths of a decibel above
-100 dBFS (0 = quieter). :meth:`Beep.decode` plays a tone of that level, so codes survive decoding and encoding.

State is a dict of NumPy scalars and arrays; no function writes into one.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Audio, Controls, StreamSpec, Style

__all__ = ["VARIANTS", "Beep"]

VARIANTS = ("beep", "beep-echo", "beep-ramp")

_RAMP = 1 << 24
_LEVELS = 4
_CODES = 1024
_FLOOR_DB = -100.0
_CODE_DB = 0.1
_STYLE_SIZE = 8
_BEEP_EVERY = 24000
_BEEP_LENGTH = 1920
_BEEP_LEVEL = 0.25
_TONE_HZ = 1000.0


def _codes(audio: Audio, frame_samples: int) -> NDArray[np.int32]:
    """Return the codes of whole frames of audio, shape (frames, levels)."""
    parts = np.abs(audio).reshape(len(audio) // frame_samples, _LEVELS, -1).max(axis=2)
    decibels = 20.0 * np.log10(np.maximum(parts, 1e-12))
    return np.clip(np.rint((decibels - _FLOOR_DB) / _CODE_DB), 0, _CODES - 1).astype(np.int32)


def _pitch(style: Style | None, notes: frozenset[int] | None) -> float:
    """Return the beep's pitch in Hz: that of the highest note, or one of 24 semitones from A4, by the style."""
    if notes:
        return float(440.0 * 2.0 ** ((max(notes) - 69) / 12.0))
    if style is None:
        return 440.0
    digest = hashlib.sha256(np.round(style, 4).astype("<f4").tobytes()).digest()
    return float(440.0 * 2.0 ** ((digest[0] % 24) / 12.0))


class Beep:
    """A model that clicks on known samples.

    Parameters
    ----------
    variant
        One of :data:`VARIANTS`.
    """

    def __init__(self, variant: str = "beep") -> None:
        if variant not in VARIANTS:
            raise ValueError(f"no test model named {variant!r}; there are: {', '.join(VARIANTS)}")
        echoes = variant != "beep-ramp"
        self._spec = StreamSpec(
            name=variant,
            levels=_LEVELS,
            codebook=_CODES,
            style_size=_STYLE_SIZE,
            controls=frozenset(
                {"hear", "input_gain", "feedback"} | ({"style", "notes"} if variant == "beep" else set())
                if echoes
                else ()
            ),
            hears=echoes,
        )

    @property
    def spec(self) -> StreamSpec:
        """What the model makes and understands."""
        return self._spec

    def init(self, seed: int) -> dict[str, Any]:
        """Return a fresh state; the seed moves the beeps by up to half a second and leaves the ramp alone."""
        spec = self._spec
        return {
            "offset": np.int64(np.random.default_rng(seed).integers(_BEEP_EVERY)),
            "position": np.int64(0),
            "last": np.zeros((spec.step_samples, spec.channels), np.float32),
            "heard": np.zeros((spec.frames_per_step, _LEVELS), np.int32),
        }

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        """Play one step; see the contract."""
        spec = self._spec
        position = np.arange(spec.step_samples, dtype=np.int64) + state["position"]
        audio = np.zeros((spec.step_samples, spec.channels), np.float32)
        if spec.name == "beep-ramp":
            ramp = ((position + 1) % _RAMP).astype(np.float32) / np.float32(_RAMP)
            audio[:, 0], audio[:, 1:] = ramp, -ramp[:, None]
        elif spec.name == "beep":
            within = (position + state["offset"]) % _BEEP_EVERY
            shape = np.where(within < _BEEP_LENGTH, np.sin(np.pi * within / _BEEP_LENGTH) ** 2, 0.0)
            pitch = _pitch(controls.style, controls.notes)
            tone = _BEEP_LEVEL * shape * np.sin(2.0 * np.pi * pitch / spec.sample_rate * within)
            audio += tone.astype(np.float32)[:, None]
        codes = state["heard"]
        if spec.hears:
            told = np.float32(controls.feedback) * state["last"]
            if heard is not None and controls.hear:
                if heard.shape != audio.shape:
                    raise ValueError(f"heard has shape {heard.shape}: one step is {audio.shape}")
                echo = np.float32(controls.input_gain) * heard.astype(np.float32, copy=False)
                audio += echo
                told = told + echo
            codes = _codes(told, spec.frame_samples)
        following = {
            "offset": state["offset"],
            "position": state["position"] + np.int64(spec.step_samples),
            "last": audio,
            "heard": codes,
        }
        return following, audio

    def context(self, state: dict[str, Any]) -> NDArray[np.int32]:
        """Return the codes of the newest frame that the model was told was played, shape (levels,)."""
        codes: NDArray[np.int32] = state["heard"][-1]
        return codes

    def encode(self, state: Any, audio: Audio) -> tuple[Any, NDArray[np.int32]]:
        """Tokenise a whole number of frames; the encoder has no memory, its state is the number of frames so far."""
        frame = self._spec.frame_samples
        if audio.ndim != 2 or audio.shape[1] != self._spec.channels or len(audio) % frame:
            raise ValueError(f"audio has shape {audio.shape}: give (whole frames of {frame}, {self._spec.channels})")
        done = np.int64(0) if state is None else state
        return done + np.int64(len(audio) // frame), _codes(audio, frame)

    def decode(self, state: Any, tokens: NDArray[np.int32]) -> tuple[Any, Audio]:
        """Play each part of each frame as a 1 kHz tone of its code's level; `state` None starts a stream."""
        if (
            tokens.ndim != 2
            or tokens.shape[1] != _LEVELS
            or (tokens.size and not 0 <= tokens.min() <= tokens.max() < _CODES)
        ):
            raise ValueError(f"tokens of shape {tokens.shape}: give (frames, {_LEVELS}) codes from 0 to {_CODES - 1}")
        spec = self._spec
        level = np.where(tokens > 0, 10.0 ** ((tokens * _CODE_DB + _FLOOR_DB) / 20.0), 0.0).ravel()
        tone = np.sin(2.0 * np.pi * _TONE_HZ / spec.sample_rate * np.arange(spec.frame_samples // _LEVELS))
        mono = (level[:, None] * tone).astype(np.float32).ravel()
        done = np.int64(0) if state is None else state
        return done + np.int64(len(tokens)), np.repeat(mono[:, None], spec.channels, axis=1)

    def embed(self, prompt: "str | Audio") -> Style:
        """Embed a prompt: a hash of it, as a vector of unit length."""
        if isinstance(prompt, str):
            if not prompt.strip():
                raise ValueError("the prompt is empty; say a style in words")
            data = prompt.strip().lower().encode()
        else:
            if len(prompt) < 0.1 * self._spec.sample_rate:
                raise ValueError(f"the audio prompt is {len(prompt)} samples long; give at least 0.1 s")
            if not np.any(np.abs(prompt) > 1e-5):
                raise ValueError("the audio prompt is silent")
            data = np.ascontiguousarray(prompt, np.float32).tobytes()
        seed = int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
        vector = np.random.default_rng(seed).normal(size=_STYLE_SIZE)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)

    def warm_up(self) -> None:
        """Do nothing: there is nothing to compile."""
