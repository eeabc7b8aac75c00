"""How long a sound takes to the context of the model, by a real JACK server."""

import contextlib
import itertools
import time
from pathlib import Path

import numpy as np
from studio import Studio

from jackdaw.engine.protocol.client import ControlClient

__all__ = ["heard_latency"]

_RATE = 48000
_TONE_HZ = 1000.0
_BURSTS = 40


def heard_latency(folder: Path, model: str, period: int = 128) -> dict[str, float]:
    """Return the time from a sound at in_L to changed tokens of what the model hears, at a period of JACK's.

    Holds a tone, which keeps the ear open and its tokens still; adds noise bursts; waits until the tokens move.

    Returns
    -------
    dict
        ``heard_ms_p50``, ``heard_ms_p95``, ``bursts`` that came out of silence, and ``rtf``: times real time.

    Raises
    ------
    RuntimeError
        If too few bursts did.
    """
    generator = np.random.default_rng(1)
    with Studio(folder, _RATE, period, model) as room:
        room.start_server()
        room.start_engine("--set", "feedback=0")
        room.start_bridge("--no-connect")
        room.wait_for_sound()
        time.sleep(2.0)
        with contextlib.closing(ControlClient(room.session, room.session)) as control:
            rtf = control.status()["rtf"]
            starts = np.cumsum(generator.integers(round(0.7 * _RATE), round(0.9 * _RATE), _BURSTS))
            tone = 0.1 * np.sin(2.0 * np.pi * _TONE_HZ / _RATE * np.arange(int(starts[-1]) + _RATE))
            sound = np.stack([tone, tone], axis=1).astype(np.float32)
            for start in starts:
                sound[start : start + 2400] += generator.uniform(-0.5, 0.5, (2400, 2)).astype(np.float32)
            probe = room.probe(len(sound), hear=False, say=True, play=sound)
            end = time.monotonic() + len(sound) / _RATE + 1.0
            heard: dict[int, tuple[int, ...]] = {}
            while time.monotonic() < end:
                news = control.status()["heard"]
                heard[news["ns"]] = tuple(news["tokens"])
                time.sleep(0.004)
        take = probe.result()
    times = np.array(sorted(heard))
    changed = np.array([heard[a] != heard[b] for a, b in itertools.pairwise(times)])
    latencies = []
    for start in starts:
        row = int(np.searchsorted(take.cycles[:, 0], start, side="right")) - 1
        said = int(take.cycles[row, 2]) + int((start - int(take.cycles[row, 0])) * 1e9 / _RATE)
        quiet = changed[(times[1:] > said - 300_000_000) & (times[1:] <= said)]
        after = times[1:][changed & (times[1:] > said)]
        if not quiet.any() and len(after):
            latencies.append((int(after[0]) - said) / 1e6)
    if len(latencies) < _BURSTS // 2:
        raise RuntimeError(f"only {len(latencies)} of {_BURSTS} bursts came out of silence: the ear is never at rest")
    return {
        "rtf": rtf,
        "heard_ms_p50": float(np.percentile(latencies, 50)),
        "heard_ms_p95": float(np.percentile(latencies, 95)),
        "bursts": len(latencies),
    }
