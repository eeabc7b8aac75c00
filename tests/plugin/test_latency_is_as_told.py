"""An input's answer comes exactly as late as the host was told, at any rate, block and layout; nothing else sounds."""

import os

from rooms import cases

_RUNS = int(os.environ.get("JACKDAW_PLUGIN_RUNS", "40"))


def test_random_runs(room):
    seen = room("beep-echo").call("runs", timeout=600.0, cases=list(cases(_RUNS)))
    assert len(seen) == _RUNS
    for run in seen:
        assert run["length"] == run["frames"], run
        assert abs(run["late"]) <= (0 if run["rate"] == 48000 else 1), run
        # the model's rate is 48 kHz: of an impulse at a higher rate it hears a share
        assert run["peak"] > 0.4 * min(1.0, 48000 / run["rate"]), run
        assert run["latency"] > 0, run
        assert run["rest"] < 0.001, run
