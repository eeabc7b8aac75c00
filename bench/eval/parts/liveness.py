"""Liveness: does the model go on making music when it is left alone?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from clips import Clip
from judge_music import LONGEST_SILENCE, liveness, loudness
from material import spread
from plots import series
from scores import pulse, repetition
from study import Finding, Study

__all__ = ["measure"]

PROMPTS = ("disco funk", "bossa nova", "slow blues", "waltz", "string ballad")
SPREAD_LU = 3.0
WINDOW_S = 30.0


def _read(path: Path) -> np.ndarray:
    audio: np.ndarray = soundfile.read(path, dtype="float32", always_2d=True)[0]
    return audio


def _figures(audio: np.ndarray) -> dict[str, Any]:
    found = liveness(audio)
    windows = loudness(audio, WINDOW_S, 10.0)
    found["spread_lu"] = round(float(np.abs(windows - np.median(windows)).max()), 2)
    found["windows"] = [round(float(x), 2) for x in windows]
    found["repetition"] = round(repetition(audio), 3)
    found["pulse"] = round(pulse(audio), 4)
    return found


def _faults(found: dict[str, Any], bounds: dict[str, float]) -> list[str]:
    """What is wrong with a clip, in words."""
    faults = []
    if found["clipped"]:
        faults.append(f"clips {found['clipped']} times")
    if found["longest_silence_s"] > LONGEST_SILENCE:
        faults.append(f"silent for {found['longest_silence_s']:.1f} s")
    if found["spread_lu"] > SPREAD_LU:
        faults.append(f"loudness strays {found['spread_lu']:.1f} LU")
    for name, word in (("repetition", "stuck in a loop"), ("pulse", "throbs at one rate")):
        if found[name] > bounds[name]:
            faults.append(f"{word} ({found[name]:.3f} > {bounds[name]:.3f})")
    return faults


def measure(study: Study) -> Finding:
    """Let the model play unattended, and compare with whole training renders."""
    seconds = study.count(600, 60)
    clips = [
        Clip(name=f"{number}-{prompt.replace(' ', '-')}", seconds=seconds, seed=500 + number, prompt=prompt)
        for number, prompt in enumerate(PROMPTS[: study.count(len(PROMPTS), 1)])
    ]
    files = study.clips("liveness", clips)
    songs = spread(study.held_out(), study.count(40, 6))
    tick = study.counter("liveness: measuring", len(songs) + len(clips))
    real = []
    for song in songs:
        audio = _read(song.path)
        real.append((repetition(audio), pulse(audio)))
        tick(1)
    loops, throbs = (np.array(values) for values in zip(*real, strict=True))
    bounds = {"repetition": min(0.97, max(0.9, loops.max() + 0.03)), "pulse": 1.25 * float(np.quantile(throbs, 0.9))}
    found = []
    for file in files:
        found.append(_figures(_read(file)))
        tick(1)
    faults = [_faults(row, bounds) for row in found]
    table: list[tuple[object, ...]] = [
        ("prompt", "longest silence, s", "clips", "LUFS", "strays, LU", "repetition", "pulse", "faults")
    ]
    for clip, row, wrong in zip(clips, found, faults, strict=True):
        figures = [row[k] for k in ("longest_silence_s", "clipped", "loudness_lufs", "spread_lu")]
        table.append((clip.prompt, *figures, row["repetition"], row["pulse"], "; ".join(wrong) or "none"))
    lines = {
        clip.prompt: ([10.0 * k for k in range(len(row["windows"]))], row["windows"])
        for clip, row in zip(clips, found, strict=True)
    }
    return Finding(
        "Liveness",
        f"{len(clips)} clips of {seconds} s, nobody playing. A clip fails if it clips, is silent for more than"
        f" {LONGEST_SILENCE:g} s, strays more than {SPREAD_LU:g} LU (BS.1770, stretches of {WINDOW_S:g} s) from its"
        " median, repeats itself more exactly than any training render (and a margin), or is ruled by one rate of"
        " 4 - 16 Hz, a quarter more than nine training renders in ten.",
        figures={
            "liveness_failures": sum(bool(wrong) for wrong in faults),
            "repetition_max": max(row["repetition"] for row in found),
            "pulse_max": max(row["pulse"] for row in found),
            "loudness_spread_max_lu": max(row["spread_lu"] for row in found),
        },
        rows=[
            ("clips that fail", f"{sum(bool(wrong) for wrong in faults)} of {len(clips)}", None),
            ("most repetitive stretch", max(row["repetition"] for row in found), round(float(loops.max()), 3)),
            (
                "pulse (the renders' 90th percentile)",
                max(row["pulse"] for row in found),
                round(bounds["pulse"] / 1.25, 4),
            ),
        ],
        detail=table,
        plots=[series(lines, "s", "LUFS over 30 s")],
        players=[(f"{clip.prompt}, the last 20 s", file) for clip, file in zip(clips, files, strict=True)],
    )
