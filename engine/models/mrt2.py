"""Magenta RealTime 2 as a model of this house: one 40 ms frame a step.

One step, in order:

1. Controls become a row of integers, which is all that the networks are told.
2. What is heard is mixed with the sound that the model gave last, and the codec's encoder turns the mix into codes. The
   encoder looks a little ahead, and sound is `delay` frames behind its codes, so these are the codes of a frame that
   the language model has taken in already, as it was chosen: it takes that frame back, and those after it, and takes
   them in again, the mix in the place of the choice. So its past is what sounded, frame by frame, and the newest
   frames, which have not sounded yet, are what it chose: nothing lags, and the tempo does not drag.
3. The language model takes in the frame before and chooses the codes of the next; the decoder makes sound of them.

While nothing is heard, the past is what was chosen, and a step takes in one frame. Silence is nothing heard; when it
has lasted REST frames, the encoder rests too. Before the next sound it is given the ENCODER_PAST frames that led there,
which are all that it would remember.

The networks are a :class:`Player`'s: the same model runs by JAX or by OpenVINO. State is a dict of arrays; nothing here
writes into one. Noise is a function of the seed and the frame's number.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import mrt2_conditioning as conditioning
from jackdaw.engine.models.contract import Audio, Controls, StreamSpec, Style, check_audio, check_tokens
from jackdaw.engine.models.mrt2_config import CHANNELS, NOTES, MRT2Config
from jackdaw.engine.models.mrt2_depthformer import NOTHING, SPARE
from jackdaw.engine.models.mrt2_sampler import sampling_noise

__all__ = ["ENCODER_AHEAD", "ENCODER_PAST", "FRAME", "GATE_DB", "MRT2", "RATE", "REST", "Codes", "Player"]

RATE, FRAME = 48000, 1920
"""Samples a second, and in a frame."""

ENCODER_AHEAD = 480
"""By how many samples the codec's encoder looks beyond a frame."""

ENCODER_PAST = 8
"""Frames before a frame that its codes depend on: the codec's encoder doesn't look further back."""

REST = 50
"""Frames of silence after which the encoder rests."""

GATE_DB = -70.0
"""Input whose RMS over a step is at most this, in dBFS after the input gain, is not heard."""

_SILENCE = np.zeros((FRAME, 2), np.float32)
_CACHED = 64

Codes = NDArray[np.int32]
"""Codes of a frame, int32 (levels,); NOTHING before a stream's first."""


class Player(Protocol):
    """The networks of a model, compiled. All states are trees of arrays, of fixed shapes; none is changed."""

    @property
    def config(self) -> MRT2Config:
        """Sizes."""

    @property
    def delay(self) -> int:
        """Frames between a frame's codes and its sound, up to SPARE - 1."""

    def past(self) -> Any:
        """Return the past of a language model that has taken in nothing."""

    def rewound(self, past: Any, frames: int) -> Any:
        """Return the past before the last frames, of which there are as many, up to SPARE."""

    def take_in(self, past: Any, codes: Codes, row: NDArray[np.int32]) -> Any:
        """Return the past after a frame: `codes` of the one before it, and what it was told."""

    def play(
        self,
        past: Any,
        decoder: Any,
        codes: Codes,
        row: NDArray[np.int32],
        noise: NDArray[np.float32],
        temperature: float,
        top_k: int,
    ) -> tuple[Any, Any, Codes, Audio]:
        """Take in a frame as :meth:`take_in` does, choose its codes, and decode.

        Returns
        -------
        past, decoder, codes, audio
            The next states, the codes chosen, and float32 (FRAME, 2), `delay` frames behind them.
        """

    def decoder(self) -> Any:
        """Return the past of a decoder that has decoded nothing."""

    def decode(self, decoder: Any, codes: Codes) -> tuple[Any, Audio]:
        """Decode a frame, apart from playing."""

    def encoder(self) -> Any:
        """Return the past of an encoder that has heard nothing; None if the player can't hear."""

    def encode(self, encoder: Any, audio: Audio) -> tuple[Any, Codes]:
        """Return the codes of the FRAME samples that end ENCODER_AHEAD before the end of `audio`, (FRAME, 2)."""


class MRT2:
    """See the module.

    Parameters
    ----------
    player
        The networks.
    embed
        Embeds a text, or audio at 48 kHz, as a style of unit length, and raises ValueError for what has none.
    tokenise
        Gives the tokens of a style, coarsest first, 0 .. style_codebook - 1.
    style_size
        Length of a style.

    Notes
    -----
    ``Controls.extra`` may have ``unmask`` (0 .. 127, 0) and ``onsets`` (False), which are arguments of
    :func:`~jackdaw.engine.models.mrt2_conditioning.channels`, ``guidance_notes`` and ``guidance_drums`` (-1 .. 7, 1),
    and ``style_levels`` (12): how many levels of the style's tokens are told. ``Controls.guidance`` is the style's.
    """

    def __init__(
        self,
        player: Player,
        embed: Callable[["str | Audio"], Style],
        tokenise: Callable[[Style], Sequence[int]],
        style_size: int = 768,
    ) -> None:
        if not 0 <= player.delay < SPARE:
            raise ValueError(f"the player is {player.delay} frames behind: up to {SPARE - 1} can be taken back")
        self._player, self._embed, self._tokenise = player, embed, tokenise
        self._config = player.config
        self._noise = jax.jit(partial(sampling_noise, self._config))
        self._tokens: dict[bytes, tuple[int, ...]] = {}
        self._spec = StreamSpec(
            name=self._config.name,
            sample_rate=RATE,
            channels=2,
            frame_samples=FRAME,
            frames_per_step=1,
            look_ahead=player.delay * FRAME,
            levels=self._config.levels,
            codebook=self._config.codebook,
            style_size=style_size,
            controls=frozenset(
                {"style", "temperature", "top_k", "guidance", "hear", "input_gain", "feedback", "notes", "drums"}
            ),
            hears=player.encoder() is not None,
            hears_at=-FRAME,
        )

    @property
    def spec(self) -> StreamSpec:
        """What the model makes and understands."""
        return self._spec

    def init(self, seed: int) -> dict[str, Any]:
        """Return the state of a stream that has played nothing."""
        player, config = self._player, self._config
        kept = player.delay + 2
        return {
            "seed": np.uint32(np.random.SeedSequence(seed).generate_state(1)[0]),
            "frame": np.uint32(0),
            "past": player.past(),
            "decoder": player.decoder(),
            "encoder": player.encoder(),
            "chosen": np.full((kept, config.levels), NOTHING, np.int32),
            "told": np.zeros((kept, config.style_levels + CHANNELS), np.int32),
            "held": np.zeros(NOTES, bool),
            "sound": _SILENCE,
            "mixes": np.zeros((ENCODER_PAST + 2, *_SILENCE.shape), np.float32),
            "quiet": np.int32(REST),
            "context": np.full(config.levels, NOTHING, np.int32),
        }

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        """Make 40 ms of audio; see the contract."""
        row = self._row(state, controls)
        hearing, past = self._heard(state, controls, heard)
        past, decoder, codes, audio = self._player.play(
            past,
            state["decoder"],
            state["chosen"][-1],
            row,
            np.asarray(self._noise(state["seed"], state["frame"])),
            controls.temperature,
            min(max(controls.top_k, 1), self._config.codebook),
        )
        return {
            **state,
            **hearing,
            "frame": np.uint32(state["frame"] + np.uint32(1)),
            "past": past,
            "decoder": decoder,
            "chosen": np.concatenate([state["chosen"][1:], codes[None]]),
            "told": np.concatenate([state["told"][1:], row[None]]),
            "held": np.isin(np.arange(NOTES), sorted(controls.notes or ())),
            "sound": audio,
        }, audio

    def _row(self, state: Mapping[str, Any], controls: Controls) -> NDArray[np.int32]:
        """Return what the networks are told about the next frame."""
        extra, held = controls.extra, controls.notes
        levels = int(extra.get("style_levels", self._config.style_levels))
        return conditioning.channels(
            self._config,
            self.tokens(controls.style)[:levels] if controls.style is not None else None,
            held,
            frozenset() if held is None else held - frozenset(np.flatnonzero(state["held"]).tolist()),
            controls.drums,
            (controls.guidance, float(extra.get("guidance_notes", 1.0)), float(extra.get("guidance_drums", 1.0))),
            unmask=int(extra.get("unmask", 0)),
            onsets=bool(extra.get("onsets", False)),
        )

    def tokens(self, style: Style) -> tuple[int, ...]:
        """Return a style's tokens."""
        key = style.tobytes()
        if key not in self._tokens:
            if len(self._tokens) >= _CACHED:
                self._tokens.pop(next(iter(self._tokens)), None)
            self._tokens[key] = tuple(int(token) for token in self._tokenise(style))
        return self._tokens[key]

    def _heard(self, state: Mapping[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Any]:
        """Return what of the next state hearing decides, and the past with what was heard in it.

        The mix of this step is of the frame that sounded last, and with its beginning the codes of the one before that
        are known: `delay` + 2 frames before the one that is chosen next.
        """
        if heard is not None and heard.shape != _SILENCE.shape:
            raise ValueError(f"heard has shape {heard.shape}: one step is {_SILENCE.shape}")
        player, past, chosen = self._player, state["past"], state["chosen"]
        gained = _SILENCE
        if heard is not None and controls.hear and self._spec.hears:
            gained = np.float32(controls.input_gain) * heard
        loud = float(np.sqrt(np.mean(np.square(gained, dtype=np.float64)))) > 10.0 ** (GATE_DB / 20.0)
        mix = (np.float32(controls.feedback) * state["sound"] + gained).astype(np.float32)
        mixes = np.concatenate([state["mixes"][1:], mix[None]])
        quiet = 0 if loud else min(int(state["quiet"]) + 1, REST)
        following = {"encoder": player.encoder(), "mixes": mixes, "quiet": np.int32(quiet), "context": chosen[-1]}
        if quiet == REST:
            return following, past
        encoder, first = (player.encoder(), 1) if state["quiet"] == REST else (state["encoder"], len(mixes) - 1)
        for index in range(first, len(mixes)):
            ahead = np.concatenate([mixes[index - 1][ENCODER_AHEAD:], mixes[index][:ENCODER_AHEAD]])
            encoder, codes = player.encode(encoder, ahead)
        following["encoder"] = encoder
        back = player.delay + 1
        if quiet > 1 or int(state["frame"]) < back + 1:
            return following, past
        past = player.rewound(past, back)
        for index in range(back):
            past = player.take_in(past, codes if index == 0 else chosen[index], state["told"][index + 1])
        return {**following, "context": codes}, past

    def context(self, state: dict[str, Any]) -> Codes:
        """Return the codes of the newest frame of which the model was told how it sounded, int32 (levels,)."""
        return np.asarray(state["context"])

    def encode(self, state: Any, audio: Audio) -> tuple[Any, NDArray[np.int32]]:
        """Tokenise a whole number of frames, ENCODER_AHEAD samples behind; see the contract."""
        check_audio(self._spec, audio)
        encoder = self._player.encoder() if state is None else state
        tokens = np.zeros((len(audio) // FRAME, self._config.levels), np.int32)
        for index in range(len(tokens)):
            encoder, tokens[index] = self._player.encode(encoder, audio[index * FRAME : (index + 1) * FRAME])
        return encoder, tokens

    def decode(self, state: Any, tokens: NDArray[np.int32]) -> tuple[Any, Audio]:
        """Turn codes back into audio, the decoder's look-ahead behind them; `state` None starts a stream.

        Parameters
        ----------
        state
            None, or from an earlier call.
        tokens
            int32, shape (frames, levels).

        Returns
        -------
        state, audio
            The next state and float32 audio, shape (frames * FRAME, 2).
        """
        check_tokens(self._spec, tokens)
        decoder = self._player.decoder() if state is None else state
        pieces = [np.zeros((0, 2), np.float32)]
        for codes in tokens.astype(np.int32):
            decoder, audio = self._player.decode(decoder, codes)
            pieces.append(audio)
        return decoder, np.concatenate(pieces)

    def embed(self, prompt: "str | Audio") -> Style:
        """Embed a text, or audio at 48 kHz; see the contract."""
        return self._embed(prompt)

    def warm_up(self) -> None:
        """Compile what a step needs, hearing or not."""
        state = self.init(0)
        sound = np.full(_SILENCE.shape, 0.1, np.float32)
        for _ in range(self._player.delay + 3):
            state, _ = self.step(state, Controls(), sound)
