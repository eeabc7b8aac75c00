"""A live session: one model playing into one segment, as clients see it.

A host makes sessions (:class:`~jackdaw.engine.host.Host`). Everything here is for any thread: knobs, prompts and notes
are exchanged at once and obeyed from the next step on; what touches the model's state is done by the device thread
between two steps, and waited for (see :class:`~jackdaw.engine._player.Player`). Prompts are embedded on the caller's
thread.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jackdaw.audio import Waveform
from jackdaw.engine._errors import HostError
from jackdaw.engine._knobs import Knobs
from jackdaw.engine._player import Player, Shared
from jackdaw.engine._programs import Programs
from jackdaw.engine._recording import Recording
from jackdaw.engine.midi_map import MidiMap
from jackdaw.engine.models.contract import Audio, Model, StreamSpec
from jackdaw.engine.options import Options
from jackdaw.engine.presets import Preset
from jackdaw.engine.prompts import Embedder, Prompt, scaled, style_of
from jackdaw.engine.state import load_state, save_state
from jackdaw.log import Log

if TYPE_CHECKING:
    from jackdaw.dsp import SegmentWriter

__all__ = ["Session"]

_SHORTEST_SOURCE_S, _LONGEST_SOURCE_S = 0.1, 600.0


class Session:
    """One session of a host; see the module.

    Parameters
    ----------
    name, model_name
        Its name, and its model's.
    writer
        The engine's side of the segment; the session closes it.
    options
        How to play.
    hear
        What ``options.hear`` comes to.
    midi_map
        Which MIDI controller turns which parameter; None = none does.
    log
        Where events go.
    """

    def __init__(
        self,
        name: str,
        model_name: str,
        writer: "SegmentWriter",
        options: Options,
        *,
        hear: str,
        midi_map: MidiMap | None = None,
        log: Log | None = None,
    ) -> None:
        self.name = name
        self.model_name = model_name
        self.model_hash: str | None = None
        self.seed = options.seed
        self.options = options
        self._writer = writer
        self._log = log
        self._hear = hear
        self._path = writer.path
        self._programs = Programs(self.load, self.say)
        self._shared = Shared(
            writer,
            Knobs(options.parameters),
            midi_map or MidiMap(),
            hear=hear,
            floor_s=options.floor_s,
            ceiling_s=options.ceiling_s,
            say=self.say,
            on_program=self._programs.change,
        )
        self._embedder: Embedder | None = None
        self._loading_s: dict[str, float] = {}
        self._player: Player | None = None
        self._prompts: list[Prompt] = []
        self._source: Path | None = None
        self._failure: str | None = None
        self._revision = 0
        self._changing = threading.Lock()
        self._closing = threading.Lock()
        self._is_left = False
        self._settled = threading.Event()
        self._ended = threading.Event()

    # ---- what it is ----------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """``loading``, ``ready`` or ``failed``."""
        if self.error_text is not None:
            return "failed"
        return "loading" if self._player is None else "ready"

    @property
    def error_text(self) -> str | None:
        """Why the session failed, in words; None if it did not."""
        player = self._player
        if player is not None and player.error is not None:
            return f"{self.model_name} broke down: {describe(player.error)}"
        return self._failure

    @property
    def spec(self) -> StreamSpec | None:
        """What the model makes and understands; None while it loads."""
        return None if self._player is None else self._player.model.spec

    @property
    def segment_path(self) -> Path:
        """Where the session's segment lies."""
        return self._path

    @property
    def revision(self) -> int:
        """How often the session was changed, by anyone."""
        return self._revision + self._shared.mapped.turns

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts, embedded, with the weights that their parameters have now."""
        values = self.values()
        return [replace(p, weight=values[f"weight_{i}"]) for i, p in enumerate(self._prompts, start=1)]

    def values(self) -> dict[str, float]:
        """Return all parameters, in users' units."""
        return dict(self._shared.knobs.now.values)

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Wait while the model loads; return whether it is ready (False: it failed, or `timeout` seconds were over)."""
        return self._settled.wait(timeout) and self.phase == "ready"

    def status(self) -> dict[str, Any]:
        """Return what a user wants to see, in any phase; numbers in the units that their names say.

        Raises
        ------
        HostError
            If the session has ended.
        """
        with self._closing:
            if self._ended.is_set():
                raise self._gone()
            player, shared = self._player, self._shared
            stream = None if player is None else player.stream
            told = shared.report.status(self.spec, stream, self.options.floor_s)
            recording = shared.recording
            return {
                "session": self.name,
                "model": self.model_name,
                "phase": self.phase,
                "error": self.error_text,
                "loading_s": self._loading_s,
                "revision": self.revision,
                **told,
                "parameters": self.values(),
                "prompts": [{"name": prompt.name, "weight": prompt.weight} for prompt in self.prompts],
                "notes": sorted(shared.notes.held),
                "chord": None if (chord := shared.notes.chord) is None else asdict(chord),
                "heard_chord": self._heard_chord(),
                "controller": shared.mapped.status(),
                "program": self._programs.status(),
                "transport": shared.time.status(told["rate"]),
                "drift": shared.drift.status(),
                "events": shared.events.status(),
                "recording": None if recording is None else recording.status(),
                "hear": self._hear,
                "listens_to": None if self._source is None else str(self._source),
                "seed": self.seed,
            }

    def _heard_chord(self) -> dict[str, Any] | None:
        """Return the chord that the model hears, if it knows one."""
        player = self._player
        known = None if player is None else getattr(player.model, "heard_chord", None)
        chord = None if player is None or known is None else known(player.state)
        return None if chord is None else asdict(chord)

    # ---- what clients change -------------------------------------------------------------------------------

    def set(self, values: Mapping[str, float]) -> dict[str, float]:
        """Change parameters, all or none; the next step obeys. Return all of them.

        Raises
        ------
        ValueError
            If a name or value is wrong; nothing is changed then.
        """
        result = self._shared.knobs.turn(values)
        self._changed()
        return result

    def set_prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Replace the prompts, and set the parameters ``weight_1`` ... to their weights; return them embedded.

        Weights above 1 are divided by the largest. Embedding may take a while; the music goes on meanwhile.

        Raises
        ------
        ValueError
            If a prompt cannot be embedded, they cancel each other, or there are more than 6.
        OSError
            If an audio file cannot be read.
        HostError
            If the model is loading or the session has failed. Nothing is changed after any of these.
        """
        self._ready()
        assert self._embedder is not None
        with self._changing:
            self._use(self._embedder.embed(scaled(prompts)))
        return self.prompts

    def load(self, preset: Preset, name: str) -> None:
        """Play as a preset says, all of it or nothing; the music goes on, crossfading if a state comes too.

        Raises
        ------
        ValueError
            If it is another model's, its state is of other weights or damaged, or a prompt cannot be embedded.
        OSError
            If an audio file cannot be read.
        HostError
            If the model is loading, or the session has failed or ends. Nothing is changed after any of these.
        """
        player = self._ready()
        assert self._embedder is not None
        if preset.model != self.model_name:
            raise ValueError(
                f"the preset is for {preset.model}, the session plays {self.model_name}: "
                "start it with `jackdaw jam --preset NAME`"
            )
        values = Knobs.check(preset.parameters)
        with self._changing:
            prompts = self._embedder.embed(scaled(preset.prompts))
            style_of(prompts)
            if preset.state is not None:
                if preset.model_hash != self.model_hash:
                    raise ValueError("the preset's state is of other weights: remove `state = true` from it")
                state = load_state(preset.state, like=player.model.init(0))
                player.ask(lambda: player.start_over(state, f"state of preset {name}", epoch=False))
            self._shared.events.soon("mark", f"preset {name}")
            self._use(prompts, values)

    def reset(self, seed: int | None = None, *, epoch: bool = False, at_bar: bool = False) -> int:
        """Forget what was played and start from a fresh state; return the number of the epoch.

        Parameters
        ----------
        seed
            Of the fresh state; None = the session's.
        epoch
            False: the next step crossfades from the old music. True: a new epoch begins. What the ring holds is not
            played, the next frame that a reader gets is the first of the fresh stream; resamplers are fresh, parameters
            are at once as they are set now, no note is held, and the pace is that of a quick model. Two epochs with
            equal seed, parameters and input are equal bytes for a freewheeling reader.
        at_bar
            Wait for the next bar line as it is heard, if a clock rolls; for all else this waits until it has happened.

        Raises
        ------
        ValueError
            If the seed is negative, or a new epoch is to wait for a bar.
        HostError
            If the model is loading, or the session has failed or ends.
        """
        player = self._ready()
        number = self.seed if seed is None else seed
        if number < 0:
            raise ValueError(f"seed is {number}; give a whole number from 0")
        if at_bar and epoch:
            raise ValueError("a new epoch begins at once: leave out the bar")
        state = player.model.init(number)
        if at_bar:
            player.at_bar(lambda: player.start_over(state, f"reset, seed {number}", epoch=False))
            result = self._writer.epoch
        else:
            result = player.ask(lambda: player.start_over(state, f"reset, seed {number}", epoch=epoch))
        self.say("reset", seed=number, epoch=result if epoch else None)
        self._changed()
        return result

    def play_notes(self, messages: Iterable[bytes]) -> frozenset[int]:
        """Play MIDI channel messages; return the notes that sound then."""
        held = self._shared.notes.play(messages)
        self._changed()
        return held

    def set_transport(self, bpm: float, beat: float, beats_per_bar: int, rolling: bool) -> None:
        """Tell the musical time now, for a client that does not write it into the segment; it runs on by itself.

        Parameters
        ----------
        bpm
            30 .. 300.
        beat
            Position in the bar, from 0.
        beats_per_bar
            2 .. 12.
        rolling
            Whether it moves.

        Raises
        ------
        ValueError
            If a value is out of range.
        """
        with self._closing:
            if self._ended.is_set():
                raise self._gone()
            self._shared.time.tell(bpm, beat, beats_per_bar, rolling)
        self._changed()

    def tap(self, beats_per_bar: int = 4) -> float | None:
        """Tap a beat now; see :meth:`~jackdaw.engine._transport.MusicalTime.tap`. Return beats per minute, if known."""
        with self._closing:
            if self._ended.is_set():
                raise self._gone()
            bpm = self._shared.time.tap(time.monotonic(), beats_per_bar)
        self._changed()
        return bpm

    def mark(self, text: str, *, ahead: bool = False) -> None:
        """Note a word for the markers of a recording: of what is heard now, or `ahead`, of what is made next."""
        (self._shared.events.soon if ahead else self._shared.events.now)("mark", text)

    def save_state(self) -> bytes:
        """Return the model's state between two steps; not prompts or parameters. A step is not waited for.

        Raises
        ------
        HostError
            If the model is loading or the session has failed.
        """
        return save_state(self._ready().state)  # a value, exchanged whole after each step

    def restore_state(self, blob: bytes) -> None:
        """Go on from a saved state, as if it had never stopped; crossfading, if something else is playing.

        Raises
        ------
        ValueError
            If the bytes are damaged or belong to another model; nothing is changed then.
        HostError
            If the model is loading, or the session has failed or ends.
        """
        player = self._ready()
        state = load_state(blob, like=player.model.init(0))
        player.ask(lambda: player.start_over(state, "state restored", epoch=False))
        self.say("state restored")
        self._changed()

    def record(self, path: str | Path | None) -> Path | None:
        """Begin to record what the session makes, at the model's rate, to a FLAC file of 24 bits; None: end that.

        Returns
        -------
        Path or None
            The file that is begun or has ended; None if nothing was recorded.

        Raises
        ------
        ValueError
            If the name does not end in .flac, or a recording is going on already.
        OSError
            If the file is there already or cannot be written.
        HostError
            If the model is loading, or the session has failed or ended.
        """
        with self._changing:
            now = self._shared.recording
            if path is None:
                self._shared.recording = None
                result = None if now is None else now.close()
            elif now is not None:
                raise ValueError(f"a recording to {now.path} is going on; end that first")
            else:
                spec = self._ready().model.spec
                if self._is_left:
                    raise self._gone()
                self._shared.recording = Recording(path, spec.sample_rate, spec.channels)
                result = self._shared.recording.path
        self._changed()
        return result

    def listen(self, path: str | Path | None) -> Path | None:
        """Hear an audio file round and round in the place of the input, from its start; None: hear the input again.

        Returns
        -------
        Path or None
            The file.

        Raises
        ------
        ValueError
            If it is no audio, or shorter than 0.1 s or longer than 10 minutes.
        OSError
            If it cannot be read.
        HostError
            If the model is loading, or the session has failed or ends. Nothing is changed after any of these.
        """
        player = self._ready()
        with self._changing:
            sound = None if path is None else _source(path, player.model.spec)
            player.ask(lambda: player.listen(sound))
            self._source = None if path is None else Path(path)
        self._changed()
        return self._source

    # ---- the host's side -----------------------------------------------------------------------------------

    def adopt(self, model: Model, model_hash: str, embedder: Embedder, seconds: Mapping[str, float]) -> Player | None:
        """Take the model that was loaded (loader thread); return what the device steps, None if the session has ended.

        `seconds` says how long each part of loading took.

        Raises
        ------
        ValueError, OSError
            If the prompts to start with cannot be embedded, the state to start from is another model's, or the model
            does not fit the segment.
        """
        with self._closing:
            if self._is_left:
                return None
            channels = self._writer.channels
        if model.spec.channels != channels:
            raise ValueError(f"{self.model_name} has {model.spec.channels} channels, the segment has {channels}")
        self.model_hash, self._embedder, self._loading_s = model_hash, embedder, dict(seconds)
        self._use(embedder.embed(scaled(self.options.prompts)), changed=False)
        state = model.init(self.seed)
        if self.options.state is not None:
            if self.options.state_hash not in (None, model_hash):
                raise ValueError(f"the state to start from is of other weights than {self.model_name}'s: leave it out")
            state = load_state(self.options.state, like=state)
        player = Player(model, state, self._shared)
        if self.options.listen is not None:
            player.listen(_source(self.options.listen, model.spec))
            self._source = Path(self.options.listen)
        self._shared.events.soon("start", f"{self.model_name}, seed {self.seed}")
        with self._closing:
            if self._is_left:
                return None
            self._player = player
        self._settled.set()
        return player

    def fail(self, error: BaseException) -> None:
        """Be `failed`: the model could not be loaded."""
        self._failure = describe(error)
        self._settled.set()

    def leave(self) -> None:
        """Begin to end: fade out, if something plays."""
        with self._closing:
            self._is_left = True
            player = self._player
        if player is None:
            self.end()
        else:
            player.leave()

    def end(self) -> None:
        """Leave the segment, and let a recording end. Device thread, or any once nothing steps the session."""
        with self._closing:
            if not self._ended.is_set():
                if self._player is not None:
                    self._player.close()
                self._programs.close()
                self._writer.publish(stopping=True)
                self._writer.close()
                if self._shared.recording is not None:
                    self._shared.recording.end()
                self._ended.set()
        self._settled.set()

    def wait_until_ended(self, timeout: float | None = None) -> bool:
        """Wait until the segment is left and a recording is written; return whether it is."""
        if not self._ended.wait(timeout):
            return False
        with self._changing:
            recording, self._shared.recording = self._shared.recording, None
        if recording is not None:
            try:
                recording.close()
            except OSError as error:
                self.say("recording failed", error=str(error))
        return True

    def plays(self, player: Player) -> bool:
        """Return whether this is the session's player."""
        return self._player is player

    def beat(self) -> bool:
        """Stamp the segment: the engine lives. Return whether a reader has it attached."""
        with self._closing:
            if self._ended.is_set():
                return False
            self._writer.heartbeat()
            return self._writer.reader_alive

    def say(self, event: str, **fields: Any) -> None:
        """Log an event of this session."""
        if self._log is not None:
            self._log.info(event, **{"session": self.name, **fields})

    # ---- within --------------------------------------------------------------------------------------------

    def _ready(self) -> Player:
        if self._is_left:
            raise self._gone()
        if self.error_text is not None:
            raise HostError(f"session {self.name!r} has failed: {self.error_text}; close it and open it anew", "failed")
        if self._player is None:
            raise HostError(f"session {self.name!r}: its model is still loading; try again", "loading")
        return self._player

    def _gone(self) -> HostError:
        return HostError(f"session {self.name!r} has ended; `open` makes a new one", "no session")

    def _use(self, prompts: list[Prompt], values: Mapping[str, float] | None = None, *, changed: bool = True) -> None:
        """Exchange prompts, their embeddings and their weights at once, and other parameters with them."""
        style_of(prompts)  # says no if they cancel
        weights = dict(values or {}) | {f"weight_{i}": prompt.weight for i, prompt in enumerate(prompts, start=1)}
        styles = [prompt.embedding for prompt in prompts if prompt.embedding is not None]
        self._shared.knobs.turn(weights, styles, [prompt.name for prompt in prompts])
        self._prompts = prompts
        if changed:
            self._changed()

    def _changed(self) -> None:
        with self._closing:
            self._revision += 1


def _source(path: str | Path, spec: StreamSpec) -> Audio:
    """Return the sound of a file as a model takes it.

    Raises
    ------
    ValueError
        If it is no audio, too short or too long.
    OSError
        If it cannot be read.
    """
    wave = Waveform.from_file(str(path), longest=_LONGEST_SOURCE_S + 1)
    if not _SHORTEST_SOURCE_S <= wave.duration <= _LONGEST_SOURCE_S:
        raise ValueError(f"{path} is too short or too long to listen to: give {_SHORTEST_SOURCE_S:g} s to 10 minutes")
    return wave.resample(spec.sample_rate).with_channels(spec.channels).samples


def describe(error: BaseException) -> str:
    """Return an error in words: its own, if it was written for users."""
    told = isinstance(error, ValueError | OSError | RuntimeError) and str(error)
    return str(error) if told else f"{type(error).__name__}: {error}"
