"""A live session: one model playing into one segment, on a thread of its own.

Threads and who owns what:

engine thread   owns the model's state, the controls and the writer's side of the segment: it alone steps the model,
                reads the input ring and writes the output ring. It may block; the audio thread never waits for it.
heartbeat       stamps the segment ten times a second, so that a long step does not look like a dead engine.
any other       changes things by mail: :meth:`Session.set`, :meth:`Session.set_style`, :meth:`Session.reset` put a
                letter into a queue, and the engine thread opens it at the start of its next step.
                :meth:`Session.status` reads.

A reader that attaches, attaches anew or changes its rate begins a new epoch with fresh resamplers; without a reader the
session idles and the model's state rests.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jackdaw.dsp import equal_power_ramp
from jackdaw.engine._knobs import Knobs
from jackdaw.engine._pacing import StepTimes
from jackdaw.engine._report import Report
from jackdaw.engine._stream import Stream
from jackdaw.engine.log import Log
from jackdaw.engine.models.contract import Audio, Controls, Model, Style

if TYPE_CHECKING:
    from jackdaw.dsp import SegmentWriter

__all__ = ["Options", "Session"]

_IDLE_S = 0.01
_POLL_S = 0.02
_FREEWHEEL_POLL_S = 0.0005
_HEARTBEAT_S = 0.1
_ADAPT_S = 0.25
_FADE_OUT_S = 0.05
_RESET_FADE_S = 0.01
_DRAIN_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a session plays.

    Parameters
    ----------
    seed
        Of the model; equal seed, equal music.
    floor_s, ceiling_s
        Least and most music kept ready, seconds.
    hear
        ``aligned`` (input to answer takes the same time always) or ``newest`` (as little as can be).
    parameters
        Values of knobs, by name; the others start at their defaults.
    style
        The style to start with, or None.
    """

    seed: int = 0
    floor_s: float = 0.2
    ceiling_s: float = 2.0
    hear: str = "aligned"
    parameters: Mapping[str, float] = field(default_factory=dict)
    style: Style | None = None


class Session:
    """See the module.

    Parameters
    ----------
    model
        Whose steps are played.
    writer
        The engine's side of the segment; the session closes it.
    options
        How to play.
    log
        Where events go.
    """

    def __init__(self, model: Model, writer: "SegmentWriter", options: Options, log: Log | None = None) -> None:
        self.model = model
        self.options = options
        self.error: BaseException | None = None
        self._writer = writer
        self._log = log
        self._knobs = Knobs(options.parameters)
        self._style = options.style
        self._state: Any = None
        self._stream: Stream | None = None
        self._reader: tuple[int, int, int] | None = None
        self._times = StepTimes()
        self._report = Report(writer, model.spec, self._times)
        self._letters: deque[Callable[[], None]] = deque()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._closed = False
        self._close_lock = threading.Lock()
        self._adapted = 0.0
        self._tail: Audio | None = None
        self._engine = threading.Thread(target=self._run, name="engine", daemon=True)
        self._pulse = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    # ---- any thread ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads; the model is warmed up first, on the engine thread."""
        self._engine.start()
        self._pulse.start()

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Wait until the model is warmed up and plays as soon as there is a reader; return whether it is."""
        return self._ready.wait(timeout)

    def set(self, values: Mapping[str, float]) -> dict[str, float]:
        """Change knobs; the next step obeys.

        Returns
        -------
        dict
            All values as they will be.

        Raises
        ------
        ValueError
            If a name or value is wrong; nothing is changed then.
        """
        checked = self._knobs.check(values)
        self._letters.append(lambda: self._knobs.apply(checked))
        return {**self._knobs.values(), **checked}

    def set_style(self, style: Style | None) -> None:
        """Change the style from the next step on; None sets the model free.

        Raises
        ------
        ValueError
            If the style does not fit the model.
        """
        size = self.model.spec.style_size
        if style is not None and np.shape(style) != (size,):
            raise ValueError(f"style has shape {np.shape(style)}; {self.model.spec.name} takes ({size},)")

        def change() -> None:
            self._style = style

        self._letters.append(change)

    def reset(self, seed: int | None = None) -> None:
        """Forget what was played: the next step starts from a fresh state, crossfading from the old one."""
        self._letters.append(lambda: self._start_over(self.options.seed if seed is None else seed))

    def stop(self, timeout: float | None = None) -> bool:
        """Fade out over 50 ms, let the ring play out, and leave the segment; return whether the thread has ended."""
        self._stop.set()
        if self._engine.ident is None:
            self._closed = True
            self._writer.close()
        else:
            self._engine.join(timeout)
            self._pulse.join(timeout)
        return not self._engine.is_alive()

    @property
    def running(self) -> bool:
        """Whether the engine thread lives."""
        return self._engine.is_alive()

    def status(self) -> dict[str, Any]:
        """Return what a user wants to see; numbers in the units that their names say."""
        with self._close_lock:
            if self._closed:
                raise RuntimeError("the session has ended")
            told = self._report.status(self._stream, self.options.floor_s)
        more = {"parameters": self._knobs.values(), "hear": self.options.hear, "seed": self.options.seed}
        return {**told, **more}

    # ---- heartbeat thread ----------------------------------------------------------------------------------

    def _beat(self) -> None:
        while self._engine.is_alive():
            with self._close_lock:
                if self._closed:
                    return
                self._writer.heartbeat()
            time.sleep(_HEARTBEAT_S)

    # ---- engine thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            begun = time.monotonic()
            self.model.warm_up()
            self._state = self.model.init(self.options.seed)
            self._say("ready", warm_up_s=round(time.monotonic() - begun, 3))
            self._ready.set()
            while not self._stop.is_set():
                self._turn()
            self._end_music()
        except BaseException as error:
            self.error = error
            raise
        finally:
            with self._close_lock:
                self._closed = True
                self._writer.publish(stopping=True)
                self._writer.close()

    def _turn(self) -> None:
        """Do what there is to do now: begin or end an epoch, make a step, or wait a little."""
        reader = (self._writer.reader_instance, self._writer.reader_rate, self._writer.reader_block)
        if reader[1] == 0 or not self._writer.reader_alive:
            if self._reader is not None:
                self._say("reader left")
                self._reader, self._stream = None, None
            self._open_letters()
            self._stop.wait(_IDLE_S)
            return
        if self._stream is None or reader != self._reader:
            self._stream = self._begin_epoch(reader)
        wait = self._stream.due()
        if wait > 0:
            self._watch(self._stream)
            self._stop.wait(_FREEWHEEL_POLL_S if self._writer.freewheeling else min(wait, _POLL_S))
            return
        audio = self._step(self._stream)
        self._stream.play(audio)
        self._tell(self._stream)

    def _begin_epoch(self, reader: tuple[int, int, int]) -> Stream:
        self._writer.reset()
        stream = Stream(
            self._writer,
            self.model.spec,
            rate=reader[1],
            period=reader[2],
            hear=self.options.hear,
            floor_s=self.options.floor_s,
            ceiling_s=self.options.ceiling_s,
            now=time.monotonic(),
            p99=self._times.quantiles()[2],
        )
        self._reader = reader
        self._publish_pace(stream)
        self._writer.publish(ring_rate=stream.rate)
        self._say("reader attached", rate=stream.rate, period=reader[2])
        return stream

    def _publish_pace(self, stream: Stream) -> None:
        pace = stream.pace
        self._writer.publish(target=pace.target, limit=pace.limit, loop_latency=stream.loop_latency)

    def _open_letters(self) -> None:
        while self._letters:
            self._letters.popleft()()

    def _start_over(self, seed: int) -> None:
        _, self._tail = self.model.step(self._state, self._controls(), None)
        self._state = self.model.init(seed)
        self._say("reset", seed=seed)

    def _controls(self) -> Controls:
        return self._knobs.controls(self._style)

    def _step(self, stream: Stream) -> Audio:
        """Make one step of audio, at the model's rate and with the volume applied."""
        heard = stream.hear()
        begun = time.perf_counter()
        self._open_letters()
        self._state, audio = self.model.step(self._state, self._controls(), heard)
        self._times.add(time.perf_counter() - begun)
        spec = self.model.spec
        if self._tail is not None:
            audio = self._after_reset(self._tail, audio)
            self._tail = None
        return self._knobs.with_volume(audio, spec.sample_rate)

    def _after_reset(self, old: Audio, new: Audio) -> Audio:
        """Crossfade from the old music to the new, once the new has sound: its look-ahead is silent."""
        count = min(round(_RESET_FADE_S * self.model.spec.sample_rate), len(new))
        start = min(self.model.spec.look_ahead, len(new) - count)
        ramp = equal_power_ramp(count)[:, None]
        joint = old[start : start + count] * ramp[::-1] + new[start : start + count] * ramp
        return np.concatenate([old[:start], joint, new[start + count :]])

    def _tell(self, stream: Stream) -> None:
        """Publish what a step changed."""
        context = getattr(self.model, "context", None)
        if context is not None:
            self._report.note_heard(context(self._state))
        self._writer.publish(steps=self._times.count)
        now = time.monotonic()
        if now - self._adapted < _ADAPT_S:
            return
        self._adapted = now
        p99 = self._times.quantiles()[2]
        self._writer.publish(step_ns_p99=int(p99 * 1e9))
        if stream.adapt(now, p99):
            self._publish_pace(stream)
            self._say("pace", target_ms=round(stream.pace.target / stream.rate * 1e3, 1), p99_ms=round(p99 * 1e3, 2))
        self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        if self._report.watch(stream):
            self._say("first sound")

    def _end_music(self) -> None:
        """Append music that fades out, and wait until the ring has played out (or nobody plays it)."""
        if self._stream is None or not self._writer.reader_alive:
            return
        spec = self.model.spec
        fade = equal_power_ramp(round(_FADE_OUT_S * spec.sample_rate))[::-1]
        steps = -(-len(fade) // spec.step_samples)
        gains = np.pad(fade, (0, steps * spec.step_samples - len(fade)))[:, None]
        for part in np.split(gains, steps):
            self._stream.play(self._step(self._stream) * part)
        self._writer.publish(stopping=True)
        deadline = time.monotonic() + _DRAIN_S
        while (
            self._writer.fill > 0 and self._writer.armed and self._writer.reader_alive and time.monotonic() < deadline
        ):
            time.sleep(_IDLE_S)

    def _say(self, event: str, **fields: Any) -> None:
        if self._log is not None:
            self._log.info(event, **fields)
