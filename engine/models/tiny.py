"""The bundled model `tiny`: a language model over the codes of a neural codec, one 40 ms frame a step.

One step, in order:

1. What is heard is analysed into band magnitudes. If it is louder than the gate, it is mixed with the model's own last
   frame, as powers of bands; the codec's encoder turns the mix into codes, and these take the place of the codes the
   model chose last. Own bands come straight from the decoder, so both parts of the mix lie on the same frame,
   although the sound of that frame leaves the synthesis only LOOKAHEAD samples later.
2. The language model chooses the next frame's codes. It runs with and without what leads it (clock, chord, notes) side
   by side, so that it can be led firmly; while nobody tells the harmony, what leads is the style as well. Guided by the
   style by hand, it runs without that, too, and unguided the first history stands for the third, until guidance is
   turned up.
3. The codec's decoder makes band magnitudes of them, and the synthesis makes audio. Its level is kept, slowly
   (:mod:`~jackdaw.engine.models.tiny_level`), and rounded off above -3 dBFS.

A band needs somebody to count. Where no clock is given, the stream counts for itself, at the tempo and in the metre in
which the style is usually played. Where no chord is given, that of the input leads, if it has one; when nobody has been
heard or has played a note for ALONE steps, the stream goes round PROGRESSION, a chord a bar. By itself, it plays with
drums or without, and as densely, as is usual in the style, unless a knob says otherwise.

The networks run in one compiled call a frame, so that splitting a stream never changes a bit; several streams may share
a call (:meth:`Tiny.step_many`), which differs by rounding. State is a dict of arrays; nothing here writes into one.
"""

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import tiny_codec as codec
from jackdaw.engine.models import tiny_harmony as harmony
from jackdaw.engine.models import tiny_level as fader
from jackdaw.engine.models import tiny_lm as lm
from jackdaw.engine.models import tiny_spectrum as spectrum
from jackdaw.engine.models import tiny_style as style
from jackdaw.engine.models.contract import (
    Audio,
    Chord,
    Clock,
    Controls,
    Item,
    StreamSpec,
    Style,
    check_audio,
    check_tokens,
)
from jackdaw.engine.models.tiny_networks import Networks
from jackdaw.engine.runtime import cpu

__all__ = ["ALONE", "GATE_DB", "PROGRESSION", "SIZES", "Tiny", "Usual"]

GATE_DB = -70.0
"""Input whose RMS over a step is at most this, in dBFS after the input gain, is not heard."""

PROGRESSION = (
    Chord(root=0, quality="maj7"),
    Chord(root=9, quality="min7"),
    Chord(root=2, quality="min7"),
    Chord(root=7, quality="7"),
)
"""What the stream plays of its own accord: I vi ii V in C, a chord a bar."""

ALONE = 50
"""Steps without a note or a sound of others after which the stream plays by itself: 2 s."""

SIZES = (1, 2, 3, 4, 8, 16)
"""Numbers of streams for which the networks are compiled, each when it is first needed."""

_CONTROLS = (
    *("style", "temperature", "top_k", "guidance", "hear", "input_gain", "feedback"),
    *("clock", "chord", "follow", "notes", "drums", "energy", "density"),
)
_SILENCE = np.zeros((spectrum.TOKEN_SAMPLES, 2), np.float32)
_KNEE, _CEILING = 0.7, 0.98
_SWITCH_S = 5e-4


def _step_back() -> None:
    """Let those who play go first: on the processor, and at the interpreter's lock, which tracing a network holds."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))


def _rounded_off(audio: Audio) -> Audio:
    """Bend what is above the knee smoothly towards the ceiling; below it, samples stay as they are."""
    size = np.abs(audio)
    room = np.float32(_CEILING - _KNEE)
    bent = _KNEE + room * np.tanh((size - np.float32(_KNEE)) / room)
    return np.where(size > _KNEE, np.copysign(bent, audio), audio).astype(np.float32)


class Usual(NamedTuple):
    """How a style is usually played.

    Parameters
    ----------
    bpm, beats
        Beats per minute and per bar.
    drums
        Whether with drums; None: either way.
    density
        Notes a second, drums included; None: any.
    """

    bpm: float
    beats: int
    drums: bool | None = None
    density: float | None = None


_ANY = Usual(110.0, 4)


class Tiny:
    """See the module.

    Parameters
    ----------
    params, codec_config, lm_config
        Of :class:`~jackdaw.engine.models.tiny_networks.Networks`.
    style_weights
        ``text`` and ``audio``: the towers of the style space.
    vocabulary
        The word pieces of the text tower.
    usual
        Names of styles, each with how it is usually played.

    Raises
    ------
    ValueError
        If the two networks do not fit each other.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        codec_config: codec.CodecConfig,
        lm_config: lm.LMConfig,
        style_weights: Mapping[str, Any],
        vocabulary: Sequence[str],
        usual: Mapping[str, Usual] | None = None,
    ) -> None:
        self._networks = Networks(params, codec_config, lm_config)
        self._compiler = ThreadPoolExecutor(1, "compile", _step_back)
        self._jobs: dict[tuple[int, bool], Future[None]] = {}
        self._style_weights = style_weights
        self._pieces = style.WordPieces(vocabulary)
        self._names, self._usual = list(usual or {}), list((usual or {}).values())
        self._named = np.array([self.embed(name) for name in self._names], np.float32)
        self._spec = StreamSpec(
            name="tiny",
            sample_rate=spectrum.RATE,
            channels=2,
            frame_samples=spectrum.TOKEN_SAMPLES,
            frames_per_step=1,
            look_ahead=spectrum.LOOKAHEAD,
            levels=codec_config.levels,
            codebook=lm_config.codebook,
            style_size=style.STYLE_SIZE,
            controls=frozenset(_CONTROLS),
            hears=True,
            hears_at=spectrum.LOOKAHEAD - spectrum.TOKEN_SAMPLES,
        )

    @property
    def spec(self) -> StreamSpec:
        """What the model makes and understands."""
        return self._spec

    def init(self, seed: int) -> dict[str, Any]:
        """Return the state of a stream that has played nothing."""
        mixed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        return {
            "networks": self._networks.init(mixed),
            "ear": spectrum.analyse_init(),
            "synthesis": spectrum.synthesise_init(mixed),
            "level": fader.init(),
            "bar": np.int32(0),
            "beat": np.float64(0.0),
            "held": np.zeros(128, bool),
            "harmony": harmony.init(),
            "alone": np.int32(ALONE),
        }

    def usual(self, style: Style | None) -> Usual:
        """Return how a style is usually played: that of the nearest name."""
        if style is None or not self._usual:
            return _ANY
        return self._usual[int(np.argmax(self._named @ style))]

    def _led(
        self, state: Mapping[str, Any], controls: Controls, alone: int, heard: Chord | None
    ) -> tuple[Clock, Chord | None, bool]:
        """Return the clock and the chord of a step: what is given, else what the stream counts for itself.

        And whether it is by itself: nobody tells the harmony.
        """
        usual = self.usual(controls.style)
        own = Clock(bpm=usual.bpm, beat=float(state["beat"]) % usual.beats, beats_per_bar=usual.beats)
        clock = controls.clock or own
        chord = controls.chord or heard
        if chord is not None or alone < ALONE:
            return clock, chord, False
        return clock, PROGRESSION[int(state["bar"]) % len(PROGRESSION)], True

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        """Make 40 ms of audio; see the contract."""
        return self._advance([(state, controls, heard)])[0]

    def step_many(self, items: Sequence[Item]) -> list[tuple[dict[str, Any], Audio]]:
        """Make 40 ms of several streams at once; see :func:`~jackdaw.engine.models.contract.step_all`.

        The networks are compiled for SIZES; a number between is filled up. A size that is needed for the first time is
        compiled on a thread of low priority, and until it is ready the streams are stepped one by one: nothing waits.
        """
        made: list[tuple[dict[str, Any], Audio]] = []
        for start in range(0, len(items), SIZES[-1]):
            some = list(items[start : start + SIZES[-1]])
            size = next(size for size in SIZES if size >= len(some))
            if size == 1 or not self._is_ready(size, any(controls.guidance > 0 for _, controls, _ in some)):
                made += [self.step(*item) for item in some]
            else:
                made += self._advance(some, size)
        return made

    def _is_ready(self, size: int, guided: bool) -> bool:
        """Return whether a size is compiled; begin to, if nobody has.

        Raises
        ------
        Exception
            What went wrong when it was compiled.
        """
        job = self._jobs.get((size, guided))
        if job is None:
            job = self._jobs[size, guided] = self._compiler.submit(self._compile, size, guided)
        if not job.done():
            return False
        job.result()
        return True

    def _compile(self, size: int, guided: bool) -> None:
        self._advance([(self.init(0), Controls(guidance=float(guided)), None)], size)

    def _advance(self, items: Sequence[Item], size: int = 1) -> list[tuple[dict[str, Any], Audio]]:
        """Step as many streams as a compiled size has room for."""
        prepared = [self._prepared(*item) for item in items]
        filled = [(item[0]["networks"], steer) for item, (steer, _) in zip(items, prepared, strict=True)]
        filled += filled[-1:] * (size - len(items))
        networks = self._networks.advance([state for state, _ in filled], [steer for _, steer in filled])
        made = []
        for (state, controls, _), (_, own), following in zip(items, prepared, networks, strict=False):
            bands, turns = np.asarray(following["bands"]), np.asarray(following["turns"])
            synthesis, audio = spectrum.synthesise_step(state["synthesis"], bands, turns)
            level, gains = fader.step(state["level"], bands, asked=controls.energy is not None)
            after = {"networks": following, "synthesis": synthesis, "level": level, **own}
            made.append((after, _rounded_off(audio * gains[:, None])))
        return made

    def _prepared(
        self, state: Mapping[str, Any], controls: Controls, heard: Audio | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what steers the networks, and the parts of the next state that do not depend on them."""
        sound = _SILENCE if heard is None or not controls.hear else heard
        if sound.shape != _SILENCE.shape:
            raise ValueError(f"heard has shape {sound.shape}: one step is {_SILENCE.shape}")
        level = controls.input_gain * float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
        hears = level > 10.0 ** (GATE_DB / 20.0)
        alone = 0 if hears or controls.notes else min(int(state["alone"]) + 1, ALONE)
        known = harmony.listen(state["harmony"], sound if controls.follow else _SILENCE)
        clock, chord, by_itself = self._led(state, controls, alone, harmony.standing(known))
        held = controls.notes
        begun = frozenset() if held is None else held - frozenset(np.flatnonzero(state["held"]).tolist())
        told = controls.with_(clock=clock, chord=chord)
        if by_itself:
            usual = self.usual(controls.style)
            drums = usual.drums if controls.drums is None else controls.drums
            told = told.with_(drums=drums, density=usual.density if controls.density is None else controls.density)
        steered = lm.condition(told, begun)
        unled, unstyled = steered.copy(), steered.copy()
        unled[slice(None) if by_itself else slice(lm.STYLE_DIMS, lm.STYLE_DIMS + lm.LED_DIMS)] = 0.0
        unstyled[: lm.STYLE_DIMS] = 0.0
        steer = {
            "heard": spectrum.analyse_step(state["ear"], sound)[1] if hears else None,
            "gains": np.array([controls.input_gain, controls.feedback], np.float32),
            "cond": np.stack([steered, unled, unstyled]),
            "temperature": np.float32(controls.temperature),
            "top_k": np.int32(min(max(controls.top_k, 1), self._spec.codebook)),
            "guidance": np.float32(controls.guidance),
            "grip": np.array(lm.GRIP_ALONE if by_itself else lm.GRIP, np.float32),
        }
        beat = clock.beat + clock.bpm / 60.0 * self._spec.step_seconds
        turns = int(beat // clock.beats_per_bar)
        own = {
            "ear": np.array(sound[-spectrum.LOOKAHEAD :], np.float32),
            "bar": np.int32(int(state["bar"]) + turns),
            "beat": np.float64(beat - turns * clock.beats_per_bar),
            "held": np.isin(np.arange(128), sorted(held or ())),
            "harmony": known,
            "alone": np.int32(alone),
        }
        return steer, own

    def context(self, state: dict[str, Any]) -> NDArray[np.int32]:
        """Return the codes of the newest frame that the model was told was played, -1 = nothing.

        Of the levels that it chooses, the first ones.
        """
        return np.asarray(state["networks"]["context"])

    def heard_chord(self, state: dict[str, Any]) -> Chord | None:
        """Return the chord of what is heard; None if it has none."""
        return harmony.standing(state["harmony"])

    def encode(self, state: Any, audio: Audio) -> tuple[Any, NDArray[np.int32]]:
        """Tokenise a whole number of frames; see the contract."""
        check_audio(self._spec, audio)
        frame = self._spec.frame_samples
        ear = spectrum.analyse_init() if state is None else state
        tokens = np.zeros((len(audio) // frame, self._spec.levels), np.int32)
        for index in range(len(tokens)):
            ear, bands, spectra = spectrum.analyse_step(ear, audio[index * frame : (index + 1) * frame])
            tokens[index] = self._networks.encode(bands, spectrum.phases_of_spectra(spectra))
        return ear, tokens

    def decode(self, state: Any, tokens: NDArray[np.int32]) -> tuple[Any, Audio]:
        """Turn codes back into audio, LOOKAHEAD samples behind them; `state` None starts a stream.

        Parameters
        ----------
        state
            None, or from an earlier call.
        tokens
            int32, shape (frames, levels).

        Returns
        -------
        state, audio
            The next state and float32 audio, shape (frames * frame_samples, channels).
        """
        check_tokens(self._spec, tokens)
        decoder, synthesis = (None, spectrum.synthesise_init()) if state is None else state
        pieces = [np.zeros((0, self._spec.channels), np.float32)]
        for codes in tokens.astype(np.int32):
            decoder, bands, phases = self._networks.decode(decoder, codes)
            synthesis, audio = spectrum.synthesise_step(synthesis, bands, None, phases)
            pieces.append(audio)
        return (decoder, synthesis), np.concatenate(pieces)

    def embed(self, prompt: "str | Audio") -> Style:
        """Embed a text, or up to ten seconds of audio at 48 kHz; see the contract.

        A text without the name of any style is drawn to those that it comes nearest to.
        """
        if isinstance(prompt, str):
            meant = style.embed_text(self._style_weights["text"], self._pieces, prompt)
            known = not self._names or style.names_one_of(self._names, prompt)
            return meant if known else style.drawn_to(self._named, meant)
        return style.embed_audio(self._style_weights["audio"], prompt)

    def warm_up(self, streams: int = 1) -> None:
        """Compile a frame, unguided and guided; with `streams`, also of that many at once (no more than SIZES has)."""
        sizes = {1, next((size for size in SIZES if size >= streams), SIZES[-1])}
        for size, guided in product(sorted(sizes), (False, True)):
            cpu.give_back()
            if size == 1:
                self._compile(size, guided)
            elif not self._is_ready(size, guided):
                self._jobs[size, guided].result()
        state, _ = self.step(self.init(0), Controls(), None)
        self.step(state, Controls(), _SILENCE + np.float32(0.1))  # what hears is compiled, too
        cpu.give_back()
