"""How much music is kept ready, and how long the loop through the model takes: pure functions of what was observed.

Terms, all in frames at the reader's rate:

target      the fill of the output ring at which the next step is begun;
step        what one step writes, N;
delay       what resampling both ways holds back, 0 at equal rates;
loop        L = target + N + delay: from an instant of the input to the same instant's answer in the output.

A step begun at fill <= target finds its input captured, and lands in time as long as it takes less than the target
lasts. L is a whole number of periods. It grows at once when steps get slow or the ring ran dry, and shrinks after 30 s
of calm.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Observation", "Pace", "StepTimes", "adapt", "demand", "first_pace"]

CALM_S = 30.0
SAFETY = 1.5
STALL_S = 0.075
FULLEST = 0.93
JITTER_S = 0.010
GROWTH = 1.25
SHRINK_AT = 0.9
SLACK_S = 0.050


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What pacing looks at.

    Parameters
    ----------
    now
        Monotonic seconds.
    p99
        99th percentile of the step time, seconds, the wait for the device's other sessions included; 0 if unknown.
    load
        Median of the step time as a share of what a step lasts, 0 if unknown; 1 is a model that just keeps up.
    underruns
        Times the ring ran dry so far.
    rate, period
        The reader's sample rate in Hz and frames per period.
    step, delay
        See the module.
    floor, ceiling
        Least and most target, frames.
    """

    now: float
    p99: float
    load: float
    underruns: int
    rate: int
    period: int
    step: int
    delay: int
    floor: int
    ceiling: int


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What pacing decided.

    Parameters
    ----------
    target, loop
        See the module.
    limit
        A fill above this is stale: target, a step, a period and 50 ms.
    calm_since
        Monotonic seconds since when less would have done.
    underruns
        Count at the last decision.
    """

    target: int
    loop: int
    limit: int
    calm_since: float
    underruns: int


def demand(seen: Observation) -> int:
    """Return the target that the step times ask for: what a slow step takes, two periods and 10 ms, between floor and
    ceiling.

    A slow step takes 1.5 x p99. A model that hardly keeps up still makes good a stall when the next one comes:
    what waits grows as load / (1 - load), as in any queue, and so does what is kept ready, in whole STALL_S. Two
    periods and 10 ms are needed in any case: the renderer plays nothing with less.
    """
    least = 2 * seen.period + math.ceil(JITTER_S * seen.rate)
    load = min(seen.load, FULLEST)
    slow_s = max(SAFETY * seen.p99, STALL_S * int(load / (1.0 - load)))
    needed = math.ceil(slow_s * seen.rate) + least
    return max(min(max(seen.floor, needed), seen.ceiling), least)


def _pace(seen: Observation, target: int) -> Pace:
    period = max(1, seen.period)
    loop = -(-(target + seen.step + seen.delay) // period) * period
    rounded = loop - seen.step - seen.delay
    limit = rounded + seen.step + seen.delay + period + math.ceil(SLACK_S * seen.rate)
    return Pace(target=rounded, loop=loop, limit=limit, calm_since=seen.now, underruns=seen.underruns)


def first_pace(seen: Observation) -> Pace:
    """Return the pace to start with."""
    return _pace(seen, demand(seen))


def adapt(pace: Pace, seen: Observation) -> Pace:
    """Return the next pace; the same object as long as nothing changes.

    Up at once: to what the step times ask for, and by a quarter after an underrun. Down, to what they ask for, once
    they have asked for less than 0.9 of the target for 30 s without an underrun.
    """
    needed = demand(seen)
    if seen.underruns > pace.underruns:
        grown = max(needed, min(math.ceil(pace.target * GROWTH), seen.ceiling))
        if grown > pace.target:
            return _pace(seen, grown)
        return replace(pace, calm_since=seen.now, underruns=seen.underruns)
    if needed > pace.target:
        return _pace(seen, needed)
    if needed >= SHRINK_AT * pace.target:
        return pace if pace.calm_since == seen.now else replace(pace, calm_since=seen.now)
    if seen.now - pace.calm_since >= CALM_S:
        return _pace(seen, needed)
    return pace


class StepTimes:
    """The times of the last steps, and their percentiles. One thread writes; any may read.

    Parameters
    ----------
    window
        How many steps are remembered.
    """

    def __init__(self, window: int = 512) -> None:
        self._times: deque[float] = deque(maxlen=window)
        self.count = 0

    def add(self, seconds: float) -> None:
        """Remember one step's time."""
        self._times.append(seconds)
        self.count += 1

    def quantiles(self) -> tuple[float, float, float]:
        """Return p50, p95 and p99 in seconds: at most so many steps took longer. Zeros before the first step."""
        times = list(self._times)
        if not times:
            return 0.0, 0.0, 0.0
        p50, p95, p99 = np.quantile(times, (0.5, 0.95, 0.99), method="lower")
        return float(p50), float(p95), float(p99)
