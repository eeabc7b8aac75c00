"""One session on the device thread: its model's state, its epoch, its end.

The device thread (:mod:`jackdaw.engine.device`) owns everything here, and the writer's side of the segment with it: it
asks :meth:`Player.look` when the next step is due, fetches what the step takes with :meth:`Player.begin` and hands back
what it made with :meth:`Player.end`. Other threads put letters in (:meth:`Player.ask`), which are opened between steps.

A reader that attaches, attaches anew or changes its rate begins a new epoch with fresh resamplers; without a reader the
session idles and the model's state rests. When the studio's time jumps within the bar (it starts, or goes elsewhere),
the music that waits is of a time that will not come: the next step begins a new epoch as well, with the same state.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jackdaw.dsp import equal_power_ramp, lib
from jackdaw.engine._drift import Drift
from jackdaw.engine._ear import Ear
from jackdaw.engine._entrance import Entrance
from jackdaw.engine._errors import HostError
from jackdaw.engine._events import Events, prompts_in_words
from jackdaw.engine._knobs import Knobs, Setting, Steering
from jackdaw.engine._live_style import LiveStyle
from jackdaw.engine._mapped import MappedKnobs
from jackdaw.engine._midi import SYSTEM_RESET
from jackdaw.engine._midi_clock import MidiClock
from jackdaw.engine._notes import Notes
from jackdaw.engine._pacing import SAFETY, StepTimes
from jackdaw.engine._recording import Recording
from jackdaw.engine._report import Report
from jackdaw.engine._stream import Stream
from jackdaw.engine._transport import MusicalTime
from jackdaw.engine.midi_map import MidiMap
from jackdaw.engine.models.contract import Audio, Clock, Controls, Model

if TYPE_CHECKING:
    from jackdaw.dsp import SegmentWriter

__all__ = ["Player", "Shared"]

_IDLE_S = 0.01
_POLL_S = 0.02
_FREEWHEEL_POLL_S = 0.0005
_ADAPT_S = 0.25
_SETTLED = 50  # steps after which their median tells the load: the first ones are slow
_FADE_OUT_S = 0.05
_RESET_FADE_S = 0.01
_DRAIN_S = 3.0
_ANSWER_S = 30.0
_COST_WEIGHT = 0.1
_JUMP_S = 0.030

_T = TypeVar("_T")


class Shared:
    """What a session and its player share: the segment, the knobs, and what is told.

    Parameters
    ----------
    writer
        The engine's side of the segment.
    knobs
        The session's.
    midi_map
        Which MIDI controller turns which knob.
    hear, floor_s, ceiling_s
        As in the session's options.
    say
        Logs an event with fields.
    on_program
        Called with each MIDI program that is asked for.
    """

    def __init__(
        self,
        writer: "SegmentWriter",
        knobs: Knobs,
        midi_map: MidiMap,
        *,
        hear: str,
        floor_s: float,
        ceiling_s: float,
        say: Callable[..., None],
        on_program: Callable[[int], None],
    ) -> None:
        self.writer = writer
        self.knobs = knobs
        self.hear = hear
        self.floor_s = floor_s
        self.ceiling_s = ceiling_s
        self.say = say
        self.mapped = MappedKnobs(knobs, midi_map)
        self.notes = Notes(self.mapped.control, on_program)
        self.time = MusicalTime(writer)
        self.times = StepTimes()
        self.report = Report(writer, self.times)
        self.drift = Drift(say)
        self.events = Events(writer)
        self.recording: Recording | None = None


class Player:
    """See the module.

    Parameters
    ----------
    model
        Warmed up; its steps are played.
    state
        A fresh state of it.
    shared
        Of the session.
    """

    def __init__(self, model: Model, state: Any, shared: Shared) -> None:
        self.model = model
        self.state = state
        self.stream: Stream | None = None
        self.error: Exception | None = None
        self.ended = False
        self.on_letter: Callable[[], None] = lambda: None
        self._shared = shared
        self._writer = shared.writer
        self._steering = Steering(shared.knobs, model.spec)
        self._ear = Ear(model.spec)
        self._entrance = Entrance(model.spec)
        self._live_style = LiveStyle(model, shared.say)
        self._midi_clock = MidiClock()
        self._at_bar: Callable[[], object] | None = None
        self._reader: tuple[int, int, int] | None = None
        self._is_fresh = False
        self._letters: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._letters_lock = threading.Lock()
        self._spans = StepTimes()
        self._p99, self._load = 0.0, 0.0
        self._cost = 0.0
        self._free_since = 0.0
        self._waited = 0.0
        self._adapted = 0.0
        self._tail: Audio | None = None
        self._heard_at: Clock | None = None
        self._setting: Setting | None = None
        self._prompts = ""
        self._expected: Clock | None = None
        self._jumps = False
        self._leaving = threading.Event()
        self._fade: deque[NDArray[np.float32]] | None = None
        self._drained_at: float | None = None

    # ---- any thread ----------------------------------------------------------------------------------------

    def ask(self, do: Callable[[], _T]) -> _T:
        """Let the device thread do something between steps; return what that returns, once it is done.

        Raises
        ------
        HostError
            If the session has failed or ends meanwhile, or the device is stuck; and what `do` raises.
        """
        answer: Future[_T] = Future()
        with self._letters_lock:
            if self.ended:
                raise HostError("the session has ended", "no session")
            self._letters.append((do, answer))
        self.on_letter()
        try:
            return answer.result(_ANSWER_S)
        except TimeoutError:
            raise HostError(
                f"the device did nothing for {_ANSWER_S:g} s: a step of some model hangs", "failed"
            ) from None

    def at_bar(self, do: Callable[[], object]) -> None:
        """Let the device thread do something at the next bar line, as it is heard; at once without a clock.

        If it raises, that is logged, and the music goes on as it was.
        """
        self._at_bar = do

    def leave(self) -> None:
        """Let the music fade out over 50 ms and the ring play out; :attr:`ended` tells when that is done."""
        self._leaving.set()
        self.on_letter()

    # ---- device thread: when -------------------------------------------------------------------------------

    @property
    def is_alone(self) -> bool:
        """Whether the reader waits for each step: such a session is stepped by itself, so that its bytes repeat."""
        return self._writer.freewheeling

    @property
    def cost(self) -> float:
        """Seconds that a step of this session takes, as a running mean; 0 before the first."""
        return self._cost

    @property
    def margin(self) -> float:
        """Seconds by which the next step could be put off without danger."""
        return 0.0 if self.stream is None else self.stream.left - SAFETY * self._p99

    def look(self, now: float) -> float:
        """Do what there is to do; return the seconds until the next look, or 0: a step is due."""
        self._open_letters()
        if self._leaving.is_set():
            return self._look_at_the_end(now)
        if self.error is not None:
            return _IDLE_S
        rate = self._writer.reader_rate  # what a reader says last is read first
        reader = (self._writer.reader_instance, rate, self._writer.reader_block)
        if rate == 0 or not self._writer.reader_alive:
            if self._reader is not None:
                self._shared.say("reader left")
                self._reader, self.stream = None, None
                self._shared.notes.clear()
                self._shared.drift.clear()
            self._free_since = now
            return _IDLE_S
        if self.stream is None or reader != self._reader:
            self._midi_clock = MidiClock()
            self._begin_epoch(reader)
            self._shared.say("reader attached", rate=reader[1], period=reader[2])
        assert self.stream is not None
        self._shared.events.look(self._shared.time.instant(), self.stream.rate)
        wait = self.stream.due()
        if wait <= 0:
            return 0.0
        self._free_since = now
        self._watch(self.stream)
        return _FREEWHEEL_POLL_S if self._writer.freewheeling else min(wait, _POLL_S)

    def _begin_epoch(self, reader: tuple[int, int, int], *, goes_on: bool = False) -> Stream:
        """Begin a new epoch, and return it; if the music goes on, notes are held and what was heard is remembered."""
        position = None if self.stream is None else self.stream.position
        self._reset_ring()
        stream = Stream(
            self._writer,
            self.model.spec,
            rate=reader[1],
            period=reader[2],
            hear=self._shared.hear,
            floor_s=self._shared.floor_s,
            ceiling_s=self._shared.ceiling_s,
            now=time.monotonic(),
            p99=0.0 if self._is_fresh else self._p99,
            load=0.0 if self._is_fresh else self._load,
        )
        if not goes_on:
            self._read_midi(stream.rate)
            self._shared.notes.clear()
            self._ear.begin_epoch()
            self._entrance.begin_epoch()
            self._live_style.begin_epoch()
            self._expected, self._jumps = None, False
        self._shared.drift.clear()
        self._shared.events.begin_epoch(stream.start if position is None else position, stream.start)
        self._reader, self.stream = reader, stream
        self._publish_pace(stream)
        self._writer.publish(ring_rate=stream.rate)
        return stream

    def _reset_ring(self) -> None:
        now = self._shared.time.now
        self._writer.reset()
        self._shared.time.begin_epoch(now, self._writer.epoch_start)

    def _publish_pace(self, stream: Stream) -> None:
        pace = stream.pace
        self._writer.publish(target=pace.target, limit=pace.limit, loop_latency=stream.loop_latency)

    def _look_at_the_end(self, now: float) -> float:
        """Append music that fades out, and wait until the ring has played out (or nobody plays it)."""
        if self.error is not None or self.stream is None or not self._writer.reader_alive:
            self.ended = True
            return 0.0
        if self._fade is None:
            spec = self.model.spec
            fade = equal_power_ramp(round(_FADE_OUT_S * spec.sample_rate))[::-1]
            steps = -(-len(fade) // spec.step_samples)
            gains = np.pad(fade, (0, steps * spec.step_samples - len(fade)))[:, None]
            self._fade = deque(np.split(gains, steps))
        if self._fade:
            return 0.0
        if self._drained_at is None:
            self._writer.publish(stopping=True)
            self._drained_at = now + _DRAIN_S
        self.ended = self._writer.fill == 0 or not self._writer.armed or now >= self._drained_at
        return _IDLE_S

    def close(self) -> None:
        """Answer the letters that nobody will open any more."""
        self._live_style.close()
        with self._letters_lock:
            self.ended = True
            letters = list(self._letters)
            self._letters.clear()
        for _, answer in letters:
            answer.set_exception(HostError("the session has ended", "no session"))

    # ---- device thread: what -------------------------------------------------------------------------------

    def begin(self) -> tuple[Any, Controls, Audio | None]:
        """Return what the step that is due takes: state, controls, what was heard."""
        stream, shared = self.stream, self._shared
        assert stream is not None
        self._waited = min(max(0.0, time.monotonic() - self._free_since), stream.lateness)
        live = stream.hear()
        self._queue_midi(stream.rate)
        spec, values = self.model.spec, shared.knobs.now.values
        played = shared.notes.step(self._writer.in_read, spec.step_seconds)
        clock = self._timed(stream)
        if self._at_bar is not None and _is_bar_line(clock, spec.step_seconds):
            self._do_at_bar()
        self._note(stream)
        self._heard_at = _earlier(clock, spec.look_ahead / spec.sample_rate)
        late = round(stream.pace.loop * spec.sample_rate / stream.rate)
        heard = self._ear.hear(live, values, clock, late)
        self._entrance.look(live, values, clock, early=stream.is_first_fill)
        controls = self._steering.controls(
            clock if "clock" in spec.controls else None,
            played.notes if played.notes and "notes" in spec.controls else None,
            self._live_style.look(values["live_style"] > 0, self._ear.newest, waits=self.is_alone),
        )
        if played.chord is not None and "chord" in spec.controls and values["chords"] >= 0.5:
            controls = controls.with_(chord=played.chord)
        if played.drums and "drums" in spec.controls:
            controls = controls.with_(drums=True)
        return self.state, controls, heard

    def _do_at_bar(self) -> None:
        do, self._at_bar = self._at_bar, None
        assert do is not None
        try:
            do()
        except Exception as error:  # nobody waits for it, and the music must not end with it
            self._shared.say("at the bar line: failed, the music goes on as it was", error=repr(error))

    def _note(self, stream: Stream) -> None:
        """Note what the next step is the first to obey, and where that is heard."""
        events, setting, spec = self._shared.events, self._shared.knobs.now, self.model.spec
        if setting is not self._setting:
            self._setting = setting
            prompts = prompts_in_words(setting.names, setting.values)
            if prompts != self._prompts:
                self._prompts = prompts
                events.soon("prompts", prompts)
        events.step(stream.position + round(spec.look_ahead * stream.rate / spec.sample_rate))

    def _queue_midi(self, rate: int) -> None:
        events = self._read_midi(rate)
        self._shared.notes.queue(events)
        now = self._writer.in_write
        self._shared.time.follow(self._midi_clock.look(now / rate), now, rate)
        if len(events) == lib.JD_MIDI_CAPACITY:  # the ring was full: a note-off may be among what did not fit
            self._shared.notes.queue([(events[-1][0], SYSTEM_RESET)])
            self._shared.say("too many MIDI messages at once: all notes off")

    def _read_midi(self, rate: int) -> list[tuple[int, bytes]]:
        """Return what has come; a clock counts by its frames, at once."""
        events = self._writer.read_midi()
        for frame, message in events:
            self._midi_clock.take(frame / rate, message)
        return events

    def _timed(self, stream: Stream) -> Clock | None:
        """Return the musical time of the next step; if it has jumped, that at which the step would be ready."""
        clock, expected = self._clock(stream), self._expected
        spec = self.model.spec
        follows = "clock" in spec.controls and not self._writer.freewheeling and stream.position > stream.start
        if clock is not None and follows and not _is_near(clock, expected):
            self._jumps = True
            ahead = self._cost + spec.look_ahead / spec.sample_rate
            clock = self._shared.time.clock(self._shared.time.now + round(ahead * stream.rate), stream.rate) or clock
        beats = None if clock is None else clock.beat + clock.bpm / 60.0 * spec.step_seconds
        self._expected = None if clock is None or beats is None else replace(clock, beat=beats % clock.beats_per_bar)
        return clock

    def _clock(self, stream: Stream) -> Clock | None:
        """Return the musical time at which the next step will be heard.

        In a first fill that is to be repeatable, the segment is not asked: it tells of the time before the first block.
        """
        is_told = not (stream.is_first_fill and (self._is_fresh or self._writer.freewheeling))
        spec = self.model.spec
        ahead = round(spec.look_ahead * stream.rate / spec.sample_rate)
        return self._shared.time.clock(stream.position + ahead, stream.rate, studio=is_told)

    def end(self, state: Any, audio: Audio, seconds: float) -> None:
        """Play what the step made, which took so many seconds."""
        stream, shared = self.stream, self._shared
        assert stream is not None
        self.state = state
        shared.times.add(seconds)
        self._spans.add(self._waited + seconds)
        self._cost += _COST_WEIGHT * (seconds - self._cost) if self._cost else seconds
        if self._tail is not None:
            audio = self._after_reset(self._tail, audio)
            self._tail = None
        audio = self._steering.with_volume(self._entrance.shaped(audio))
        if self._fade:
            audio = audio * self._fade.popleft()
        if shared.recording is not None:
            shared.recording.offer(audio)
        if self._jumps and self._reader is not None:
            self._jumps = False
            stream = self._begin_epoch(self._reader, goes_on=True)
        stream.play(audio)
        shared.drift.add(audio, self._heard_at, self.model.spec.sample_rate)
        if self._is_fresh and not stream.is_first_fill:
            self._is_fresh = False
        self._free_since = time.monotonic()
        self._tell(stream)

    def fail(self, error: Exception) -> None:
        """Play no more: the ring plays out and fades."""
        self.error = error
        self._writer.publish(stopping=True)
        self._shared.say("failed", error=repr(error))

    def start_over(self, state: Any, why: str, *, epoch: bool) -> int:
        """Go on from another state (a letter): crossfading, or in a new epoch; return the epoch's number."""
        if self.error is not None:
            raise HostError(f"the session has failed: {self.error}", "failed")
        if epoch:
            self._is_fresh, self._tail = True, None
            self._steering.settle()
            if self.stream is not None and self._reader is not None:
                self._begin_epoch(self._reader)
            else:
                self._reset_ring()
                self._shared.notes.clear()
        elif self.stream is not None and self.stream.position > self.stream.start:
            try:
                controls = self._steering.controls(live=self._live_style.style)
                _, self._tail = self.model.step(self.state, controls, None)
            except Exception as error:
                raise HostError(f"{self.model.spec.name} breaks down: {error!r}", "failed") from error
            self._entrance.begin_intro()
        self.state = state
        self._shared.events.soon("reset", why)
        return self._writer.epoch

    def listen(self, source: Audio | None) -> None:
        """Let a sound be heard round and round in the place of the input (a letter); None: the input again."""
        self._ear.listen(source)

    def _open_letters(self) -> None:
        while self._letters:
            do, answer = self._letters.popleft()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                result = do()
            except Exception as error:  # whoever sent the letter is told; the music goes on
                answer.set_exception(error)
            else:
                answer.set_result(result)

    def _after_reset(self, old: Audio, new: Audio) -> Audio:
        """Crossfade from the old music to the new, once the new has sound: its look-ahead is silent."""
        count = min(round(_RESET_FADE_S * self.model.spec.sample_rate), len(new))
        start = min(self.model.spec.look_ahead, len(new) - count)
        ramp = equal_power_ramp(count)[:, None]
        joint = old[start : start + count] * ramp[::-1] + new[start : start + count] * ramp
        return np.concatenate([old[:start], joint, new[start + count :]])

    def _tell(self, stream: Stream) -> None:
        """Publish what a step changed."""
        shared = self._shared
        context = getattr(self.model, "context", None)
        if context is not None:
            shared.report.note_heard(context(self.state), shared.times.count * self.model.spec.frames_per_step)
        self._writer.publish(steps=shared.times.count)
        now = time.monotonic()
        if now - self._adapted < _ADAPT_S:
            return
        self._adapted = now
        p50, _, self._p99 = self._spans.quantiles()
        if self._spans.count >= _SETTLED:
            self._load = p50 / self.model.spec.step_seconds
        self._writer.publish(step_ns_p99=int(shared.times.quantiles()[2] * 1e9))
        if stream.adapt(now, self._p99, self._load):
            self._publish_pace(stream)
            target = round(stream.pace.target / stream.rate * 1e3, 1)
            shared.say("pace", target_ms=target, p99_ms=round(self._p99 * 1e3, 2))
        self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        if self._shared.report.watch(stream):
            self._shared.say("first sound")


def _is_bar_line(clock: Clock | None, step_seconds: float) -> bool:
    """Return whether a bar begins within half a step; True without a clock."""
    if clock is None:
        return True
    return min(clock.beat, clock.beats_per_bar - clock.beat) * 60.0 / clock.bpm <= step_seconds / 2


def _is_near(clock: Clock, expected: Clock | None) -> bool:
    """Return whether a time within the bar is the expected one, but for what is hardly heard."""
    if expected is None or expected.beats_per_bar != clock.beats_per_bar:
        return False
    bar = clock.beats_per_bar
    away = (clock.beat - expected.beat + bar / 2) % bar - bar / 2
    return abs(away) * 60.0 / clock.bpm <= _JUMP_S


def _earlier(clock: Clock | None, seconds: float) -> Clock | None:
    """Return the time so much before a time."""
    return clock and replace(clock, beat=(clock.beat - seconds * clock.bpm / 60.0) % clock.beats_per_bar)
