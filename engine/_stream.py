"""One epoch of music at one reader's rate: what the model hears, what it plays, and when.

The engine's thread owns a :class:`Stream`: it takes from the input ring, puts into the output ring, and holds the two
resamplers between the reader's rate and the model's. Times of input and output are compared on one axis, the frames of
the output ring: the clock anchor gives D = output frame - input frame of one instant.

aligned     Step k, whose sound is output [E + kN, E + (k+1)N), hears what was captured at output time
            [E + kN - L, E + (k+1)N - L): L never wavers, whatever the steps' times are. E is where the epoch starts;
            before E the model hears silence. When D moves (an underrun, lost input), the input cursor skips or silence
            is put in, and L stays. Input that the reader could not store is silence, too.
newest      The frames captured last, in one piece while the engine keeps up; after a stall all but the newest step is
            skipped.

Until the reader has played of an epoch, and while it freewheels, hearing is aligned whatever was asked for, and the
pace stays as it is: which step hears what then depends on frames alone, and not on when a thread got its turn.
"""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from jackdaw.dsp.resample import StreamResampler
from jackdaw.engine._pacing import Observation, Pace, adapt, first_pace
from jackdaw.engine.models.contract import Audio, StreamSpec

if TYPE_CHECKING:
    from jackdaw.dsp import SegmentWriter

__all__ = ["Stream", "resampling_lag"]

_PROBE_FRAMES = 64
_PROBE_S = 1.0
_LATE_S = 0.010


@lru_cache(maxsize=32)
def resampling_lag(rate_in: int, rate_out: int) -> int:
    """Return the most output frames that a resampler owes at any time, found by trying; 0 for equal rates."""
    if rate_in == rate_out:
        return 0
    resampler = StreamResampler(rate_in, rate_out, 1)
    block = np.zeros((_PROBE_FRAMES, 1), np.float32)
    made, worst = 0, 0.0
    for number in range(1, math.ceil(_PROBE_S * rate_in / _PROBE_FRAMES)):
        made += len(resampler.process(block))
        worst = max(worst, number * _PROBE_FRAMES * rate_out / rate_in - made)
    return math.ceil(worst) + 1


class Stream:
    """See the module.

    Parameters
    ----------
    writer
        The engine's side of the segment, freshly reset: the epoch starts at its write cursor.
    spec
        Of the model.
    rate, period
        The reader's sample rate in Hz, and frames per period.
    hear
        ``aligned`` or ``newest``.
    floor_s, ceiling_s
        Least and most music kept ready, seconds.
    now, p99, load
        For the first pace: monotonic seconds, the p99 of the step time in seconds, and its median as a share of what a
        step lasts (0: as if steps took no time).
    """

    def __init__(
        self,
        writer: "SegmentWriter",
        spec: StreamSpec,
        *,
        rate: int,
        period: int,
        hear: str,
        floor_s: float,
        ceiling_s: float,
        now: float,
        p99: float,
        load: float,
    ) -> None:
        if hear not in ("aligned", "newest"):
            raise ValueError(f"hear is {hear!r}; give 'aligned' or 'newest'")
        self._writer = writer
        self._spec = spec
        self._hear = hear
        self.rate = rate
        self.start = writer.out_write
        self._period = max(1, period)
        self._to_model = StreamResampler(self.rate, spec.sample_rate, spec.channels)
        self._to_ring = StreamResampler(spec.sample_rate, self.rate, spec.channels)
        self._pushed = 0
        self._made = 0
        self._overruns = writer.counters.overruns
        self._waiting = np.zeros((0, spec.channels), np.float32)
        self._step_frames = math.ceil(spec.step_samples * self.rate / spec.sample_rate)
        back = resampling_lag(self.rate, spec.sample_rate) * self.rate / spec.sample_rate
        self._delay = math.ceil(back) + resampling_lag(spec.sample_rate, self.rate)
        self._floor = round(floor_s * self.rate)
        room = writer.capacity - 2 * self._step_frames - self._delay - self._period
        self._ceiling = max(self._floor, min(round(ceiling_s * self.rate), room // 2))
        self.pace: Pace = first_pace(self._observation(now, p99, load))

    def _observation(self, now: float, p99: float, load: float) -> Observation:
        return Observation(
            now=now,
            p99=p99,
            load=load,
            underruns=self._writer.counters.underruns,
            rate=self.rate,
            period=self._period,
            step=self._step_frames,
            delay=self._delay,
            floor=self._floor,
            ceiling=self._ceiling,
        )

    @property
    def loop_latency(self) -> int:
        """Frames from an instant of the input to its answer, the model's own look-ahead included."""
        return self.pace.loop + math.ceil(self._spec.look_ahead * self.rate / self._spec.sample_rate)

    @property
    def position(self) -> int:
        """The output frame at which the first sample of the next step lies."""
        return self.start + round(self._made * self.rate / self._spec.sample_rate)

    @property
    def is_first_fill(self) -> bool:
        """Whether the next step is one of those that are made before anything need be played."""
        return self.position - self.start <= self.pace.target

    @property
    def left(self) -> float:
        """Seconds of this epoch's music that wait to be played."""
        return (self._writer.out_write - max(self._writer.out_read, self.start)) / self.rate

    @property
    def lateness(self) -> float:
        """Seconds by which the ring has fallen below the target; less a period, which is how it falls."""
        return max(0.0, (self.pace.target - self._period) / self.rate - self.left)

    @property
    def _is_played(self) -> bool:
        return self._writer.out_read > self.start

    def adapt(self, now: float, p99: float, load: float) -> bool:
        """Let the pace follow what was observed; return whether it changed."""
        if self._writer.freewheeling or not self._is_played:
            return False
        before = self.pace
        self.pace = adapt(before, self._observation(now, p99, load))
        return self.pace.loop != before.loop

    def due(self) -> float:
        """Return the seconds until the next step should be begun; 0 = now."""
        # what is left of an older epoch will be skipped and does not count
        ahead = self._writer.out_write - max(self._writer.out_read, self.start) - self.pace.target
        if ahead > 0:
            return ahead / self.rate
        if self._writer.space < self._step_frames + self._delay:  # full of music that nobody will play
            return self._period / self.rate
        self._forget_what_lies_before_a_gap()
        late = max(2 * self._period, round(_LATE_S * self.rate))
        if self._collect() or -ahead > late:
            return 0.0
        return self._period / self.rate / 4

    def hear(self) -> Audio:
        """Return the input of the step that is begun now, shape (step_samples, channels); silence for what is lost."""
        if not self._collect():
            while len(self._waiting) < self._spec.step_samples:
                missing = self._spec.step_samples - len(self._waiting)
                self._push(self._silence(math.ceil(missing * self.rate / self._spec.sample_rate)))
        heard, self._waiting = np.split(self._waiting, [self._spec.step_samples])
        return heard

    def play(self, audio: Audio) -> None:
        """Append what a step made, shape (samples, channels) at the model's rate."""
        self._made += len(audio)
        self._writer.write(np.ascontiguousarray(self._to_ring.process(audio), np.float32))

    def _forget_what_lies_before_a_gap(self) -> None:
        """After an overrun the input ring holds sound from long ago, and then a gap: skip it all."""
        overruns = self._writer.counters.overruns
        if overruns != self._overruns:
            self._overruns = overruns
            self._writer.skip_input(self._writer.in_available)

    def _silence(self, frames: int) -> Audio:
        return np.zeros((frames, self._spec.channels), np.float32)

    def _push(self, audio: Audio) -> None:
        self._pushed += len(audio)
        self._waiting = np.concatenate([self._waiting, self._to_model.process(audio)])

    def _collect(self) -> bool:
        """Take from the input ring what the next step needs; return whether it is all there."""
        aligned = self._hear == "aligned" or self._writer.freewheeling or not self._is_played
        while (missing := self._spec.step_samples - len(self._waiting)) > 0:
            wanted = math.ceil(missing * self.rate / self._spec.sample_rate)
            silent, available = self._seek_aligned(wanted) if aligned else self._seek_newest(wanted)
            if silent > 0:
                self._push(self._silence(min(silent, wanted)))
            elif available > 0:
                self._push(np.asarray(self._writer.read_input(min(available, wanted)), np.float32))
            else:
                return False
        return True

    def _seek_aligned(self, wanted: int) -> tuple[int, int]:
        """Move the input cursor by the law; return the frames of silence due first, or else the frames available."""
        time = self.start - self.pace.loop + self._pushed
        if time < self.start:
            return self.start - time, 0
        anchor = self._writer.anchor
        if anchor is None:
            return 0, 0
        ahead = time - (anchor.out_frame - anchor.in_frame) - self._writer.in_read
        if ahead < 0:
            return -ahead, 0
        skipped = self._writer.skip_input(ahead)
        return 0, self._writer.in_available if skipped == ahead else 0

    def _seek_newest(self, wanted: int) -> tuple[int, int]:
        """Skip input that is more than a step older than need be; return no silence, and the frames available."""
        available = self._writer.in_available
        if available - wanted > self._step_frames:
            self._writer.skip_input(available - wanted)
        return 0, self._writer.in_available
