"""An input's answer comes exactly as late as the host was told, at any rate, block and layout; nothing else sounds."""

import os

import numpy as np

_RATES = (44100, 48000, 88200, 96000, 176400, 192000)
_RUNS = int(os.environ.get("JACKDAW_PLUGIN_RUNS", "40"))


def _cases(count):
    generator = np.random.default_rng(7)
    for _ in range(count):
        rate = int(generator.choice(_RATES))
        # small blocks are as likely as large ones; single frames take long, so they come with short renders
        block = int(np.exp(generator.uniform(0.0, np.log(8192.999))))
        frames = max(rate // 4, 3 * block) if block > 8 else rate // 20
        yield {
            "rate": rate,
            "block": block,
            "channels": int(generator.integers(1, 3)),
            "frames": frames,
            "at": int(generator.integers(rate // 100, frames - rate // 100)),
        }


def test_random_runs(room):
    place = room("beep-echo")
    seen = place.call("runs", timeout=600.0, cases=list(_cases(_RUNS)))
    assert len(seen) == _RUNS
    for run in seen:
        assert run["length"] == run["frames"], run
        assert abs(run["late"]) <= (0 if run["rate"] == 48000 else 1), run
        # the model's rate is 48 kHz: of an impulse at a higher rate it hears a share
        assert run["peak"] > 0.4 * min(1.0, 48000 / run["rate"]), run
        assert run["latency"] > 0, run
        assert run["rest"] < 0.001, run
