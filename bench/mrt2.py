"""Measure Magenta RealTime 2 on this machine's processors.

    python bench/mrt2.py                                   # mrt2_small, random weights, beside the reference
    python bench/mrt2.py --checkpoint mrt2_small.safetensors --weights int8 int4 --codec bf16
    python bench/mrt2.py --fidelity                        # what compressed weights change, on 500 frames

Speed: milliseconds of a frame of 40 ms for the language model, for the codec, and for both, one after the other and
overlapped; times real time at the median; processor time; memory; start-up. The reference is Google's own player
(scripts/setup-reference), with the same checkpoint. Speed doesn't depend on the weights' values: without --checkpoint,
random ones are written to build/ and kept.

Fidelity: the same frames are forced on float32 and on compressed weights, and the logits are compared: cosine,
Kullback-Leibler divergence in nats, how often both would choose the same code, greedily. The codec at half the bits
is compared with itself at float32. Random weights are harder to compress than trained ones.

The last line is JSON; a row is appended to bench/results/mrt2.jsonl.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from _results import append
from flax import traverse_util
from numpy.typing import NDArray
from rich.progress import track
from safetensors.numpy import load_file

from jackdaw.engine.models.mrt2_conditioning import channels
from jackdaw.engine.models.mrt2_config import SIZES, MRT2Config
from jackdaw.engine.models.mrt2_depthformer import NOTHING
from jackdaw.engine.models.mrt2_sampler import sampling_noise
from jackdaw.engine.runtime import cpu
from jackdaw.engine.runtime.openvino_decoder import Decoder
from jackdaw.engine.runtime.openvino_graph import PRECISIONS
from jackdaw.engine.runtime.openvino_lm import LanguageModel
from jackdaw.engine.runtime.openvino_mrt2 import OpenVinoPlayer
from jackdaw.engine.weights.mrt2_shapes import checkpoint_shapes
from jackdaw.engine.weights.random_mrt2 import write_random

__all__ = ["main"]

FRAME_MS = 40.0
SETTLING = 50
TEMPERATURE, TOP_K = 1.3, 40
ROOT = Path(__file__).parent.parent


def read(path: Path) -> dict[str, Any]:
    """Return a checkpoint's tree below ``params/``."""
    flat = {name.removeprefix("params/"): array for name, array in load_file(path).items()}
    tree: dict[str, Any] = traverse_util.unflatten_dict(flat, sep="/")
    return tree


def told(config: MRT2Config, frames: int) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield the row of the conditioning and the sampling noise of each frame, made as a player makes them."""
    noise = jax.jit(partial(sampling_noise, config))
    rng = np.random.default_rng(0)
    style = rng.integers(0, config.style_codebook, config.style_levels)
    for frame in range(frames):
        if frame % 50 == 0:
            style = rng.integers(0, config.style_codebook, config.style_levels)
        held = [48 + frame // 12 % 24] if frame % 100 >= 50 else None
        yield channels(config, style, held), np.asarray(noise(1, frame))


def timed(what: str, step: Callable[[Any, Any], Any], given: list[Any]) -> dict[str, float]:
    """Call a step for each of `given`, after a second and a half of settling, and say how long it took."""
    state, wall, work = None, [], []
    for item in track(given, what, transient=True):
        began, busy = time.perf_counter(), time.process_time()
        state = step(state, item)
        wall.append(1e3 * (time.perf_counter() - began))
        work.append(1e3 * (time.process_time() - busy))
    settled = np.array(wall[SETTLING:])
    figures = {f"ms_p{q}": float(np.percentile(settled, q)) for q in (50, 95, 99)}
    figures |= {"ms_min": float(settled.min()), "cpu_ms_p50": float(np.median(work[SETTLING:]))}
    figures |= {"rtf_p50": FRAME_MS / figures["ms_p50"]}
    print(
        f"{what:34} p50 {figures['ms_p50']:6.1f}  p95 {figures['ms_p95']:6.1f}  p99 {figures['ms_p99']:6.1f}  "
        f"least {figures['ms_min']:6.1f}  processor time {figures['cpu_ms_p50']:6.1f} ms  "
        f"{figures['rtf_p50']:5.2f} x real time",
        flush=True,
    )
    return {name: round(value, 2) for name, value in figures.items()}


def memory() -> int:
    """Resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def speed(path: Path, config: MRT2Config, weights: Any, codec: Any, frames: int, processors: int) -> dict[str, Any]:
    """Time one way to keep the weights; the last of what is measured is what a player does."""
    figures: dict[str, Any] = {}
    for overlap in (False, True):
        began, before = time.perf_counter(), memory()
        player = OpenVinoPlayer(
            read(path), config, weights=weights, codec=codec, overlap=overlap, processors=processors
        )
        given = list(told(config, frames))
        nothing = np.full(config.levels, NOTHING, np.int32)
        player.play(player.past(), player.decoder(), nothing, *given[0], TEMPERATURE, TOP_K)
        name = "overlapped" if overlap else "one after the other"
        if not overlap:
            figures["start_s"] = round(time.perf_counter() - began, 1)
            figures["memory_mb"] = memory() - before

        def chosen(state: Any, item: Any, model: LanguageModel = player.language, first: Any = nothing) -> Any:
            return model.choose(*(state or (model.past(), first)), *item, TEMPERATURE, TOP_K)

        def decoded(state: Any, codes: Any, stream: Decoder = player.codec) -> Any:
            stream.start(stream.enter(state or stream.init(), codes))
            return stream.finish()[0]

        def both(state: Any, item: Any, whole: OpenVinoPlayer = player, first: Any = nothing) -> Any:
            return whole.play(*(state or (whole.past(), whole.decoder(), first)), *item, TEMPERATURE, TOP_K)[:3]

        codes = np.random.default_rng(0).integers(0, config.codebook, (frames, config.levels))
        label = f"{weights} {codec} {name}"
        parts = [("lm", chosen, given), ("codec", decoded, list(codes)), ("frame", both, given)]
        figures[name.replace(" ", "_")] = {part: timed(f"{label}: {part}", *how) for part, *how in parts}
        del player
    return figures


def reference(python: Path, path: Path, size: str, frames: int) -> dict[str, float] | None:
    """Time the reference, or say that it isn't there."""
    if not python.exists():
        print(f"reference: NOT MEASURED, {python} is not there: run scripts/setup-reference", flush=True)
        return None
    command = [str(python), str(ROOT / "bench/_mrt2_reference.py"), str(path), "--size", size, "--frames", str(frames)]
    print("reference: starting, which takes a minute", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"reference failed:\n{done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    figures = {f"ms_p{q}": round(float(np.percentile(said["frame_ms"], q)), 1) for q in (50, 95, 99)}
    print(f"{'reference':34} p50 {figures['ms_p50']:6.1f}  p95 {figures['ms_p95']:6.1f}  p99 {figures['ms_p99']:6.1f}")
    return figures | {"start_s": round(said["start_s"], 1)}


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    shares = np.exp(logits - logits.max(-1, keepdims=True), dtype=np.float64)
    return np.asarray(shares / shares.sum(-1, keepdims=True))


def fidelity(path: Path, config: MRT2Config, frames: int, processors: int) -> dict[str, Any]:
    """Compare compressed weights with float32, on frames that float32 sampled."""
    params, given = read(path), list(told(config, frames))
    forced: list[NDArray[np.int32]] = []
    exact, figures = np.zeros((frames, config.levels, config.codebook), np.float32), {}
    for weights in PRECISIONS:
        model = LanguageModel(params, config, weights=weights, threads=processors)
        past, codes, logits = model.past(), np.full(config.levels, NOTHING, np.int32), np.zeros_like(exact)
        for frame, item in enumerate(track(given, weights, transient=True)):
            known = forced[frame] if weights != "f32" else None
            past, codes = model.choose(past, codes, *item, TEMPERATURE, TOP_K, forced=known)
            logits[frame] = model.logits()
            if weights == "f32":
                forced.append(codes)
        del model
        if weights == "f32":
            exact = logits
            continue
        norms = np.linalg.norm(exact, axis=-1) * np.linalg.norm(logits, axis=-1)
        p, q = _softmax(exact), _softmax(logits)
        found = {
            "cosine": np.mean(np.sum(exact * logits, -1) / norms, 0),
            "kl_nats": np.mean(np.sum(p * np.log(p / q), -1), 0),
            "top1": np.mean(exact.argmax(-1) == logits.argmax(-1), 0),
        }
        for name, levels in found.items():
            print(f"{weights:5} {name:8} mean {levels.mean():.4f}  by level " + " ".join(f"{x:.3f}" for x in levels))
        figures[weights] = {name: round(float(levels.mean()), 5) for name, levels in found.items()}
    sounds = []
    for precision in ("f32", "bf16"):
        stream = Decoder(params, config.levels, precision=precision, threads=(processors, processors))
        state, sound = stream.init(), []
        for codes in forced:
            stream.start(stream.enter(state, codes))
            state, audio = stream.finish()
            sound.append(audio)
        sounds.append(np.concatenate(sound))
    wrong = sounds[1] - sounds[0]
    figures["codec_bf16_snr_db"] = round(float(10 * np.log10(np.square(sounds[0]).sum() / np.square(wrong).sum())), 1)
    print(f"codec bf16: {figures['codec_bf16_snr_db']} dB signal to error")
    return figures


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="mrt2_small")
    parser.add_argument("--checkpoint", type=Path, help="default: random weights in build/mrt2")
    parser.add_argument("--weights", nargs="+", choices=PRECISIONS, default=["int8"])
    parser.add_argument("--codec", nargs="+", choices=["f32", "bf16"], default=["f32"])
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--processors", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--reference", type=Path, default=ROOT / ".venv-reference/bin/python", help="its Python")
    parser.add_argument("--reference-frames", type=int, default=25, help="0 leaves it out")
    parser.add_argument("--fidelity", action="store_true", help="compare compressed weights instead of timing")
    chosen = parser.parse_args()
    cpu.configure()
    config = SIZES[chosen.size]
    path = chosen.checkpoint or ROOT / f"build/mrt2/{config.name}.safetensors"
    if chosen.checkpoint is None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_random(path, checkpoint_shapes(config), track=lambda names: track(list(names), "random weights"))
    load = os.getloadavg()[0]
    print(f"{config.name}, {chosen.processors} processors; others load this machine by {load:.1f}", flush=True)
    figures: dict[str, Any] = {"size": config.name, "processors": chosen.processors, "load_before": round(load, 2)}
    if chosen.fidelity:
        figures |= fidelity(path, config, chosen.frames, chosen.processors)
    else:
        ways = [(weights, codec) for codec in chosen.codec for weights in chosen.weights]
        for weights, codec in ways:
            figures[f"{weights}_{codec}"] = speed(
                path, config, weights, codec, chosen.frames + SETTLING, chosen.processors
            )
        frame = figures["{}_{}".format(*ways[0])]["overlapped"]["frame"]
        figures |= {"rtf_p50": frame["rtf_p50"], "frame_ms_p50": frame["ms_p50"], "frame_ms_p99": frame["ms_p99"]}
        beside = (
            reference(chosen.reference, path, config.name, chosen.reference_frames) if chosen.reference_frames else None
        )
        figures |= {"reference": beside, "speedup_vs_reference": None}
        if beside:
            figures["speedup_vs_reference"] = round(beside["ms_p50"] / frame["ms_p50"], 1)
            print(f"{figures['speedup_vs_reference']} times as quick as the reference")
    append("mrt2", figures)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
