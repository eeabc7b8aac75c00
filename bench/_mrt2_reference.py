"""Time the reference player of Magenta RealTime 2; runs in its own environment (scripts/setup-reference).

    .venv-reference/bin/python bench/_mrt2_reference.py CHECKPOINT [--size mrt2_small] [--frames 25]

The last line is JSON: milliseconds of each frame, and of the start. A frame is waited for before the next is begun, as
a player must.
"""

import argparse
import json
import time
from pathlib import Path

import jax
from magenta_rt import musiccoca
from magenta_rt.jax import system


def main() -> None:
    """Play frames and print how long they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--size", default="mrt2_small")
    parser.add_argument("--frames", type=int, default=25)
    chosen = parser.parse_args()
    begun = time.perf_counter()
    player = system.MagentaRT2System(
        size=chosen.size, style_model=musiccoca.MockMusicCoCa(), checkpoint=str(chosen.checkpoint.resolve())
    )
    block, constants = player._build_conditioning({})
    state = player._jit_init_state(player._params, {})
    times = []
    for _ in range(chosen.frames + 2):
        frame_begun = time.perf_counter()
        output, state, _ = player._jit_streaming_step(player._params, block, constants, state)
        jax.block_until_ready(output.values)
        times.append(1e3 * (time.perf_counter() - frame_begun))
        if len(times) == 1:
            start = time.perf_counter() - begun
    print(json.dumps({"frame_ms": times[2:], "start_s": start}))


if __name__ == "__main__":
    main()
