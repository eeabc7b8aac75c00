"""Measure how a model feels under the hands, on a real JACK server: `make bench-feel`, about 20 minutes.

1. Sound to context: a noise burst into in_L until the tokens that the model hears change, at three periods.
2. Sound to effect: a chord that is held in the input changes to the farthest one, C and F sharp major in turn; until
   the chroma of what the model plays (madmom's) is half way from what it was to what it becomes. The notebook of
   Magenta RealTime 1 hears after 4 s.
3. Control to sound: a prompt's weight, a note or mute is changed while the model plays a stream that it has played
   before; until the first sample that is different.
4. Transport: JACK's timebase at three tempi; beats that madmom finds (scripts/setup-judges) against the grid.

The last line is JSON; a row is appended to bench/results/feel.jsonl.
"""

import argparse
import contextlib
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _results
import numpy as np
import soundfile
from _heard import heard_latency
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from studio import Studio, Take

from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

sys.path.insert(0, str(Path(__file__).resolve().parent / "eval"))
from study import judged, need_judges

__all__ = ["main"]

_RATE = 48000
_PERIODS = (64, 256, 1024)
_TEMPI = (80, 120, 160)
_TRIADS = ((0, 4, 7), (6, 10, 1))
_HELD_S = 4.0
_LED_S = 6.0
_SETTLED_S = 1.5
_SMOOTH_S = 0.3
_CHROMA_HZ = 10
_SEED = 7
_EPOCH_S = 3.0
_SNIPPET_S = (0.4, 0.9)
_SAME = 1e-5
_RUN_IN_S = 5.0


@contextlib.contextmanager
def _playing(folder: Path, model: str, target_ms: float, *engine: str) -> Iterator[tuple[Studio, ControlClient]]:
    """Start a server, an engine and a bridge that is connected to nothing."""
    with Studio(folder, _RATE, 128, model) as room:
        room.start_server()
        room.start_engine("--target-ms", f"{target_ms:g}", *engine)
        room.start_bridge("--no-connect")
        room.wait_for_sound()
        time.sleep(1.0)
        with contextlib.closing(ControlClient(room.session, room.session)) as control:
            yield room, control


def _quantiles(seconds: list[float], name: str) -> dict[str, float]:
    """Return p50 and p95 in ms; what never came is infinite, and is told as None."""
    found = {f"{name}_ms_p{q}": float(np.percentile(seconds, q, method="higher")) * 1e3 for q in (50, 95)}
    return {key: value if math.isfinite(value) else None for key, value in found.items()}


# ---- sound to effect ---------------------------------------------------------------------------------------


def _held_chord(triad: tuple[int, ...], frames: int) -> NDArray[np.float32]:
    """Return a held chord with partials, float32 (frames, 2)."""
    at = np.arange(frames) / _RATE
    tones = [261.63 * 2.0 ** (pitch / 12.0 - octave) for pitch in triad for octave in (0, 1)]
    sound = sum(np.sin(2 * np.pi * tone * k * at) / k**1.5 for tone in tones for k in range(1, 9))
    fade = np.minimum(1.0, np.minimum(at, at[::-1]) / 0.01)
    return np.repeat((0.03 * fade * sound)[:, None], 2, axis=1).astype(np.float32)


def _judged(kind: str, path: Path, audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a judge says of a sound, which is kept at `path`."""
    soundfile.write(path, audio, _RATE)
    return np.array(judged(kind, path))


def _turn(score: NDArray[np.float64], at: int) -> float:
    """Return the seconds from row `at` until the score is half way to where it settles, and stays; inf if never."""
    second = _CHROMA_HZ
    before = score[at - round(_SETTLED_S * second) : at].mean()
    end = at + round(_HELD_S * second)
    after = score[end - round(_SETTLED_S * second) : end].mean()
    if after - before < 0.05:
        return math.inf
    over = score[at:end] > (before + after) / 2
    stays = round(_SMOOTH_S * second)
    for start in range(len(over) - stays):
        if over[start : start + stays].all():
            return start / second
    return math.inf


def _effect(folder: Path, model: str, trials: int, target_ms: float) -> dict[str, Any]:
    chords = [_held_chord(_TRIADS[turn % 2], round(_HELD_S * _RATE)) for turn in range(trials + 1)]
    sound = np.concatenate(chords)
    with _playing(folder, model, target_ms, "--prompt", "bossa nova") as (room, _):
        take = room.probe(len(sound), say=True, play=sound).result(len(sound) / _RATE + 60)
    strengths = _judged("chroma", folder / "effect.wav", take.audio)
    share = [strengths[:, list(triad)].sum(axis=1) / (strengths.sum(axis=1) + 1e-9) for triad in _TRIADS]
    kernel = np.ones(round(_SMOOTH_S * _CHROMA_HZ))
    lean = np.convolve(share[1] - share[0], kernel / len(kernel), mode="same")
    switches = [round(turn * _HELD_S * _CHROMA_HZ) for turn in range(1, trials + 1)]
    seconds = [_turn(lean if turn % 2 else -lean, at) for turn, at in enumerate(switches, 1)]
    return {**_quantiles(seconds, "effect"), "effect_never": sum(map(math.isinf, seconds)), "effect_trials": trials}


# ---- control to sound --------------------------------------------------------------------------------------

_CHANGES: dict[str, tuple[Callable[[ControlClient], Any], Callable[[ControlClient], Any]]] = {
    "weight": (lambda c: c.set(weight_1=0.0, weight_2=1.0), lambda c: c.set(weight_1=1.0, weight_2=0.0)),
    "note": (
        lambda c: c.tell("notes", messages=[b"\x90\x42\x64"]),
        lambda c: c.tell("notes", messages=[b"\x80\x42\x00"]),
    ),
    "mute": (lambda c: c.set(volume=-60.0), lambda c: c.set(volume=0.0)),
}


def _first_difference(take: Take, known: tuple[int, NDArray[np.float32]], begun: int) -> int | None:
    """Return the frame of the take from which an epoch is not as it was; None if it never was as it was.

    `known` is the frame at which the same epoch began before, and the take's sound from there on.
    """
    _, reference = known
    first, last = (round(second * _RATE) for second in _SNIPPET_S)
    snippet = reference[first:last, 0]
    room = take.audio[begun : begun + round((_SNIPPET_S[1] + 0.5) * _RATE), 0]
    start = begun + int(np.argmax(_correlated(room, snippet))) - first
    length = min(len(reference), len(take.audio) - start)
    apart = np.abs(take.audio[start + first : start + length] - reference[first:length]).max(axis=1) > _SAME
    if not apart.any() or apart[: len(snippet)].any():
        return None
    return start + first + int(np.argmax(apart))


def _correlated(room: NDArray[np.float32], snippet: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how like the snippet the room is, from each of its samples on."""
    size = 1 << (len(room) + len(snippet)).bit_length()
    product = np.fft.rfft(room, size) * np.conj(np.fft.rfft(snippet, size))
    return np.fft.irfft(product, size)[: len(room) - len(snippet)]


def _control(folder: Path, model: str, trials: int, target_ms: float) -> dict[str, Any]:
    generator = np.random.default_rng(3)
    frames = round((3 * trials + 2) * (_EPOCH_S + 0.5) * _RATE)
    asked: list[tuple[str, int, int]] = []
    with _playing(folder, model, target_ms) as (room, control):
        control.prompt([{"text": "bossa nova"}, {"text": "techno", "weight": 0.0}])
        before = control.status()["underruns"]
        probe = room.probe(frames)
        time.sleep(1.0)
        control.tell("reset", seed=_SEED, epoch=True)
        known_at = time.monotonic_ns()
        time.sleep(_EPOCH_S)
        for name, (change, undo) in _CHANGES.items():
            for _ in range(trials):
                control.tell("reset", seed=_SEED, epoch=True)
                begun = time.monotonic_ns()
                time.sleep(1.2 + generator.uniform(0.0, 0.2))
                changed = time.monotonic_ns()
                change(control)
                time.sleep(_EPOCH_S - 1.6)
                undo(control)
                asked.append((name, begun, changed))
        underruns = control.status()["underruns"] - before
        take = probe.result(frames / _RATE + 60)
    start = take.frame_at(known_at)
    known = start, take.audio[start : start + round(_EPOCH_S * _RATE)]
    seconds: dict[str, list[float]] = {name: [] for name in _CHANGES}
    for name, begun, changed in asked:
        frame = _first_difference(take, known, take.frame_at(begun))
        if frame is not None:
            seconds[name].append((frame - take.frame_at(changed)) / _RATE)
    found: dict[str, Any] = {"control_underruns": underruns}
    for name, spans in seconds.items():
        if len(spans) < 0.8 * trials:
            raise RuntimeError(f"{name}: only {len(spans)} of {trials} streams were as before until the change")
        found |= _quantiles(spans, name)
    return {**found, **_quantiles([span for spans in seconds.values() for span in spans], "control")}


# ---- transport ---------------------------------------------------------------------------------------------


def _transport(folder: Path, model: str, bpm: int, seconds: float) -> dict[str, float]:
    with _playing(folder, model, 200.0, "--prompt", "rock") as (room, control):
        probe = room.probe(round(seconds * _RATE), "-l", "0", "-b", str(bpm))
        take = probe.result(seconds + 60)
        underruns = control.status()["underruns_after_start"]
    beats = _judged("beats", folder / f"transport-{bpm}.wav", take.audio)
    beats = beats[beats > _RUN_IN_S]
    off = take.off_beat(beats, bpm)
    pace = 60.0 / float(np.median(np.diff(beats)))
    slope = float(np.polyfit(beats, off, 1)[0]) if len(beats) > 2 else math.nan
    return {
        "bpm": bpm,
        "heard_bpm": pace,
        "beats": len(beats),
        "offset_ms": float(np.median(np.abs(off))) * 1e3,
        "bias_ms": float(np.median(off)) * 1e3,
        "drift_ms_per_min": slope * 60.0 * 1e3,
        "underruns": underruns,
        "missed_ms": take.seen["missed"] / _RATE * 1e3,
    }


def _tables(heard: dict[int, Any], controls: dict[float, Any], tempi: list[dict[str, float]]) -> list[Table]:
    tables = [Table(title=title, box=None) for title in ("sound to context", "control to sound", "JACK transport")]
    for name in ("frames", "p50 ms", "p95 ms", "bursts"):
        tables[0].add_column(name, justify="right")
    for period, row in heard.items():
        tables[0].add_row(str(period), f"{row['heard_ms_p50']:.0f}", f"{row['heard_ms_p95']:.0f}", str(row["bursts"]))
    for name in ("target ms", "what", "p50 ms", "p95 ms", "underruns"):
        tables[1].add_column(name, justify="right")
    for target, row in controls.items():
        for name in (*_CHANGES, "control"):
            times = [f"{row[f'{name}_ms_p{q}']:.0f}" for q in (50, 95)]
            tables[1].add_row(f"{target:g}", name, *times, str(row["control_underruns"]))
    for name in ("bpm", "heard", "beats", "|offset| ms", "bias ms", "drift ms/min", "underruns", "missed ms"):
        tables[2].add_column(name, justify="right")
    for row in tempi:
        tables[2].add_row(*(f"{value:.4g}" for value in row.values()))
    return tables


def main() -> int:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="which model plays (default: tiny)")
    parser.add_argument("--trials", type=int, default=50, help="of each change (default: 50)")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each tempo (default: 120)")
    parser.add_argument("--target-ms", type=float, default=50.0, help="music kept ready (default: 50; jam's is 200)")
    arguments = parser.parse_args()
    need_judges()
    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as name, Progress(*columns, console=console) as progress:
        folder = Path(name)
        task = progress.add_task("", total=None)
        heard = {}
        for period in _PERIODS:
            progress.update(task, description=f"sound to context, {period} frames")
            heard[period] = heard_latency(folder, arguments.model, period)
        controls = {}
        for target in (arguments.target_ms, 200.0):
            progress.update(task, description=f"control to sound, {target:g} ms kept ready")
            controls[target] = _control(folder, arguments.model, arguments.trials, target)
        progress.update(task, description="sound to effect")
        effect = _effect(folder, arguments.model, arguments.trials, arguments.target_ms)
        tempi = []
        for bpm in _TEMPI:
            progress.update(task, description=f"transport at {bpm} bpm")
            tempi.append(_transport(folder, arguments.model, bpm, arguments.seconds))
    for table in _tables(heard, controls, tempi):
        console.print(table)
    console.print(f"sound to effect: {effect}; a chunk-wise notebook: 4000 ms")
    figures: dict[str, Any] = {
        "model": arguments.model,
        "heard_ms_p50": max(row["heard_ms_p50"] for row in heard.values()),
        "heard_ms_p95": max(row["heard_ms_p95"] for row in heard.values()),
        **controls[arguments.target_ms],
        **effect,
        "beat_offset_ms": max(row["offset_ms"] for row in tempi),
        "beat_drift_ms_per_min": max((row["drift_ms_per_min"] for row in tempi), key=abs),
    }
    _results.append("feel", {**figures, "heard": heard, "controls": controls, "tempi": tempi})
    print(json.dumps({key: round(v, 2) if isinstance(v, float) else v for key, v in figures.items()}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, ControlError, FileNotFoundError, RuntimeError) as error:
        sys.exit(f"bench: {error or 'stopped'}")
