"""The bundled model `tiny`: a language model over the codes of a neural codec, one 40 ms frame a step.

One step, in order:

1. What is heard is analysed into band magnitudes. If it is louder than the gate, it is mixed with the model's own last
   frame, as powers of bands; the codec's encoder turns the mix into codes, and these take the place of the codes the
   model chose last. Own bands come straight from the decoder, so both parts of the mix lie on the same frame,
   although the sound of that frame leaves the synthesis only LOOKAHEAD samples later.
2. The language model chooses the next frame's codes. Guided, it runs with and without the style side by side;
   unguided, once, and that one history stands for both when guidance is turned up.
3. The codec's decoder makes band magnitudes of them, and the synthesis makes audio, rounded off above -3 dBFS.

A band needs somebody to count. Where no clock is given, the stream counts for itself, at the tempo and in the metre in
which the style is usually played; where no chord is given either and nobody plays, it goes round PROGRESSION, a chord a
bar. While something is heard, no chord is given: harmony is the player's.

The networks run in one compiled call a frame, whatever the number of frames asked for, so that splitting a stream never
changes a bit. State is a dict of arrays; nothing here writes into one.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import tiny_codec as codec
from jackdaw.engine.models import tiny_lm as lm
from jackdaw.engine.models import tiny_spectrum as spectrum
from jackdaw.engine.models import tiny_style as style
from jackdaw.engine.models.contract import Audio, Chord, Clock, Controls, StreamSpec, Style

__all__ = ["GATE_DB", "PROGRESSION", "Tiny"]

GATE_DB = -70.0
"""Input whose RMS over a step is at most this, in dBFS after the input gain, is not heard."""

PROGRESSION = (
    Chord(root=0, quality="maj7"),
    Chord(root=9, quality="min7"),
    Chord(root=2, quality="min7"),
    Chord(root=7, quality="7"),
)
"""What the stream plays of its own accord: I vi ii V in C, a chord a bar."""

_USUAL = (110.0, 4)
_KNEE, _CEILING = 0.7, 0.98

_Params = Mapping[str, Any]


def _encode(params: _Params, state: Any, bands: jax.Array, *, config: codec.CodecConfig, levels: int) -> Any:
    state, codes = codec.encode_step(params, state, bands, config=config)
    return state, codes[0, :levels]


def _decode(params: _Params, state: Any, codes: jax.Array, *, config: codec.CodecConfig) -> Any:
    return codec.decode_step(params, state, codes[None], config=config)


def _choose(
    params: _Params,
    state: Any,
    context: jax.Array,
    steer: Mapping[str, Any],
    noise: jax.Array,
    *,
    config: lm.LMConfig,
) -> tuple[Any, jax.Array]:
    """Run the language model: two streams, with and without the style, if guided; else one, which stands for both."""
    settings = (noise, steer["temperature"], steer["top_k"])

    def guided() -> tuple[Any, jax.Array]:
        both = jnp.stack([context, context])
        following, chosen = lm.step(params, config, state, both, steer["cond"], *settings, steer["guidance"])
        return following, chosen[0]

    def plain() -> tuple[Any, jax.Array]:
        one = jax.tree.map(lambda leaf: leaf[:1] if leaf.ndim else leaf, state)
        following, chosen = lm.step(params, config, one, context[None], steer["cond"][:1], *settings)
        return jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, 0) if leaf.ndim else leaf, following), chosen[0]

    return jax.lax.cond(steer["guidance"] > 0, guided, plain)  # type: ignore[no-any-return]


def _frame(
    params: _Params,
    state: Mapping[str, Any],
    steer: Mapping[str, Any],
    *,
    codec_config: codec.CodecConfig,
    lm_config: lm.LMConfig,
) -> dict[str, Any]:
    """Run the networks for one frame; `state` and the result are parts of a stream's state, plus ``bands`` to play."""
    own = state["bands"]
    mixed = jnp.sqrt((steer["input_gain"] * steer["heard"]) ** 2 + (steer["feedback"] * own) ** 2)
    encoder, heard_codes = jax.lax.cond(
        steer["hears"],
        lambda: _encode(params["codec"], state["encoder"], mixed, config=codec_config, levels=lm_config.levels),
        lambda: (state["encoder"], state["codes"]),
    )
    context = jnp.where(steer["hears"] & (state["frame"] > 0), heard_codes, state["codes"])
    noise = lm.sampling_noise(lm_config, state["seed"], state["frame"])
    following, chosen = _choose(params["lm"], state["lm"], context, steer, noise, config=lm_config)
    decoder, bands = _decode(params["codec"], state["decoder"], chosen, config=codec_config)
    return {
        "seed": state["seed"],
        "frame": state["frame"] + 1,
        "codes": chosen,
        "context": context,
        "bands": bands,
        "encoder": encoder,
        "decoder": decoder,
        "lm": following,
    }


def _rounded_off(audio: Audio) -> Audio:
    """Bend what is above the knee smoothly towards the ceiling; below it, samples stay as they are."""
    size = np.abs(audio)
    room = np.float32(_CEILING - _KNEE)
    bent = _KNEE + room * np.tanh((size - np.float32(_KNEE)) / room)
    return np.where(size > _KNEE, np.copysign(bent, audio), audio).astype(np.float32)


class Tiny:
    """See the module.

    Parameters
    ----------
    params
        ``codec`` and ``lm``: the networks' parameters, float32.
    codec_config, lm_config
        Their shapes. The codec has as many levels as the language model, or more.
    style_weights
        ``text`` and ``audio``: the towers of the style space.
    vocabulary
        The word pieces of the text tower.
    tempos
        Names of styles, each with the beats per minute and beats per bar in which it is usually played.

    Raises
    ------
    ValueError
        If the two networks do not fit each other.
    """

    def __init__(
        self,
        params: _Params,
        codec_config: codec.CodecConfig,
        lm_config: lm.LMConfig,
        style_weights: Mapping[str, Any],
        vocabulary: Sequence[str],
        tempos: Mapping[str, tuple[float, int]] | None = None,
    ) -> None:
        if codec_config.levels < lm_config.levels or codec_config.codebook != lm_config.codebook:
            raise ValueError(
                f"the codec has {codec_config.levels} levels of {codec_config.codebook} codes, the language model "
                f"{lm_config.levels} of {lm_config.codebook}: these weights do not belong together"
            )
        self._params = jax.tree.map(jnp.asarray, dict(params))
        self._codec_config, self._lm_config = codec_config, lm_config
        self._style_weights = style_weights
        self._pieces = style.WordPieces(vocabulary)
        self._tempos = list((tempos or {}).values())
        self._named = np.array([self.embed(name) for name in tempos or {}], np.float32)
        self._frame = jax.jit(partial(_frame, codec_config=codec_config, lm_config=lm_config))
        self._encode = jax.jit(partial(_encode, config=codec_config, levels=lm_config.levels))
        self._decode = jax.jit(partial(_decode, config=codec_config))
        self._spec = StreamSpec(
            name="tiny",
            sample_rate=spectrum.RATE,
            channels=2,
            frame_samples=spectrum.TOKEN_SAMPLES,
            frames_per_step=1,
            look_ahead=spectrum.LOOKAHEAD,
            levels=lm_config.levels,
            codebook=lm_config.codebook,
            style_size=style.STYLE_SIZE,
            controls=frozenset(
                {"style", "temperature", "top_k", "guidance", "hear", "input_gain", "feedback", "clock", "chord"}
            ),
            hears=True,
        )

    @property
    def spec(self) -> StreamSpec:
        """What the model makes and understands."""
        return self._spec

    def init(self, seed: int) -> dict[str, Any]:
        """Return the state of a stream that has played nothing."""
        nothing = jnp.full(self._spec.levels, lm.NOTHING, jnp.int32)
        mixed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        networks = {
            "seed": jnp.uint32(mixed),
            "frame": jnp.uint32(0),
            "codes": nothing,
            "context": nothing,
            "bands": jnp.zeros((spectrum.FRAMES_PER_TOKEN, 3, spectrum.BANDS), jnp.float32),
            "encoder": codec.encode_init(self._codec_config),
            "decoder": codec.decode_init(self._codec_config),
            "lm": lm.init_state(self._lm_config, batch=2),
        }
        return {
            "networks": networks,
            "ear": spectrum.analyse_init(),
            "synthesis": spectrum.synthesise_init(mixed),
            "bar": np.int32(0),
            "beat": np.float64(0.0),
        }

    def usual(self, style: Style | None) -> tuple[float, int]:
        """Return the beats per minute and per bar in which a style is usually played: those of the nearest name."""
        if style is None or not self._tempos:
            return _USUAL
        return self._tempos[int(np.argmax(self._named @ style))]

    def _led(self, state: Mapping[str, Any], controls: Controls, hears: bool) -> tuple[Clock, Chord | None]:
        """Return the clock and the chord of a step: what is given, else what the stream counts for itself."""
        bpm, beats = self.usual(controls.style)
        clock = controls.clock or Clock(bpm=bpm, beat=float(state["beat"]) % beats, beats_per_bar=beats)
        if controls.chord is not None or controls.clock is not None or hears:
            return clock, controls.chord
        return clock, PROGRESSION[int(state["bar"]) % len(PROGRESSION)]

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        """Make 40 ms of audio; see the contract."""
        shape = (self._spec.step_samples, self._spec.channels)
        listening = heard is not None and controls.hear
        sound = heard if listening and heard is not None else np.zeros(shape, np.float32)
        if sound.shape != shape:
            raise ValueError(f"heard has shape {sound.shape}: one step is {shape}")
        ear, bands, _ = spectrum.analyse_step(state["ear"], sound)
        level = controls.input_gain * float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
        hears = level > 10.0 ** (GATE_DB / 20.0)
        clock, chord = self._led(state, controls, hears)
        steered = lm.condition(controls.style, clock, chord)
        steer = {
            "heard": bands,
            "hears": np.bool_(hears),
            "input_gain": np.float32(controls.input_gain),
            "feedback": np.float32(controls.feedback),
            "cond": np.stack([steered, lm.condition(None, clock, chord)]),
            "temperature": np.float32(controls.temperature),
            "top_k": np.int32(min(max(controls.top_k, 1), self._spec.codebook)),
            "guidance": np.float32(controls.guidance),
        }
        networks = self._frame(self._params, state["networks"], steer)
        synthesis, audio = spectrum.synthesise_step(state["synthesis"], np.asarray(networks["bands"]))
        beat = clock.beat + clock.bpm / 60.0 * self._spec.step_seconds
        turns = int(beat // clock.beats_per_bar)
        following = {
            "networks": networks,
            "ear": ear,
            "synthesis": synthesis,
            "bar": np.int32(int(state["bar"]) + turns),
            "beat": np.float64(beat - turns * clock.beats_per_bar),
        }
        return following, _rounded_off(audio)

    def context(self, state: dict[str, Any]) -> NDArray[np.int32]:
        """Return the codes of the newest frame that the model was told was played, shape (levels,); -1 = nothing."""
        return np.asarray(state["networks"]["context"])

    def encode(self, state: Any, audio: Audio) -> tuple[Any, NDArray[np.int32]]:
        """Tokenise a whole number of frames; see the contract."""
        frame = self._spec.frame_samples
        if audio.ndim != 2 or audio.shape[1] != self._spec.channels or len(audio) % frame:
            raise ValueError(f"audio has shape {audio.shape}: give (whole frames of {frame}, {self._spec.channels})")
        if state is None:
            state = {"ear": spectrum.analyse_init(), "encoder": codec.encode_init(self._codec_config)}
        ear, encoder = state["ear"], state["encoder"]
        tokens = np.zeros((len(audio) // frame, self._spec.levels), np.int32)
        for index in range(len(tokens)):
            ear, bands, _ = spectrum.analyse_step(ear, audio[index * frame : (index + 1) * frame])
            encoder, codes = self._encode(self._params["codec"], encoder, bands)
            tokens[index] = codes
        return {"ear": ear, "encoder": encoder}, tokens

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
        limit = self._spec.codebook
        if tokens.ndim != 2 or tokens.shape[1] != self._spec.levels or np.any((tokens < 0) | (tokens >= limit)):
            raise ValueError(
                f"tokens of shape {tokens.shape}: give (frames, {self._spec.levels}) codes from 0 to {limit - 1}"
            )
        if state is None:
            state = {"decoder": codec.decode_init(self._codec_config), "synthesis": spectrum.synthesise_init()}
        decoder, synthesis = state["decoder"], state["synthesis"]
        pieces = [np.zeros((0, self._spec.channels), np.float32)]
        for codes in tokens.astype(np.int32):
            decoder, bands = self._decode(self._params["codec"], decoder, codes)
            synthesis, audio = spectrum.synthesise_step(synthesis, np.asarray(bands))
            pieces.append(audio)
        return {"decoder": decoder, "synthesis": synthesis}, np.concatenate(pieces)

    def embed(self, prompt: "str | Audio") -> Style:
        """Embed a text, or up to ten seconds of audio at 48 kHz; see the contract."""
        if isinstance(prompt, str):
            return style.embed_text(self._style_weights["text"], self._pieces, prompt)
        return style.embed_audio(self._style_weights["audio"], prompt)

    def warm_up(self) -> None:
        """Compile a frame."""
        self.step(self.init(0), Controls(), None)
