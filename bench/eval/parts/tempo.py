"""Tempo: does the model keep the time that a clock gives it?"""

from __future__ import annotations

from collections import Counter

import numpy as np
from clips import Clip
from material import spread
from plots import histograms
from scores import beat_offsets, tempo_verdict
from study import Finding, Study

__all__ = ["measure"]


def _summary(bpms: list[float], heard: list[list[float]], true: list[list[float]]) -> dict[str, float | None]:
    verdicts = [tempo_verdict(beats, bpm) for beats, bpm in zip(heard, bpms, strict=True)]
    counts = Counter(verdicts)
    away = np.concatenate([beat_offsets(a, b) for a, b in zip(heard, true, strict=True)])
    return {
        "ok": counts["right"] / len(bpms),
        "octave": (counts["right"] + counts["octave"]) / len(bpms),
        "offset": round(float(np.median(np.abs(away))), 1) if away.size else None,
        "bias": round(float(np.median(away)), 1) if away.size else None,
    }


def measure(study: Study) -> Finding:
    """Ask for styles at tempos; let madmom hear the beats."""
    seconds = study.count(20, 10)
    rng = np.random.default_rng(1)
    songs = [song for song in study.held_out() if song.seconds >= seconds]
    clips = []
    for number in range(study.count(100, 4)):
        song = songs[int(rng.integers(len(songs)))]
        bpm = float(np.clip(round(song.bpm * rng.uniform(0.85, 1.15), 1), 70, 170))
        prompt = str(rng.choice(song.labels["captions"]))
        clips.append(
            Clip(
                name=f"{number:03d}",
                seconds=seconds,
                seed=number,
                prompt=prompt,
                bpm=bpm,
                beats_per_bar=song.beats_per_bar,
            )
        )
    files = study.clips("tempo", clips)
    chosen = spread(songs, study.count(100, 4))
    starts = [song.bar_after(5.0, seconds) for song in chosen]
    real = [study.excerpt(song, start, seconds) for song, start in zip(chosen, starts, strict=True)]
    heard = study.verdicts("tempo", "beats", files + real)
    asked = [[k * 60.0 / clip.bpm for k in range(int(seconds * clip.bpm / 60.0) + 1)] for clip in clips if clip.bpm]
    bpms = [clip.bpm for clip in clips if clip.bpm]
    mine = _summary(bpms, heard[: len(files)], asked)
    true = [song.beats(start, seconds) for song, start in zip(chosen, starts, strict=True)]
    theirs = _summary([song.bpm for song in chosen], heard[len(files) :], true)
    offsets = {
        "model": np.concatenate([beat_offsets(a, b) for a, b in zip(heard, asked, strict=False)]),
        "training renders": np.concatenate(
            [beat_offsets(a, b) for a, b in zip(heard[len(files) :], true, strict=True)]
        ),
    }
    table: list[tuple[object, ...]] = [("prompt", "asked bpm", "heard bpm", "verdict", "median offset, ms")]
    for clip, beats, grid in zip(clips, heard, asked, strict=False):
        tempo = f"{60 / np.median(np.diff(beats)):.1f}" if len(beats) > 2 else "-"
        away = beat_offsets(beats, grid)
        offset = f"{np.median(away):+.0f}" if away.size else "-"
        table.append((clip.prompt, clip.bpm, tempo, tempo_verdict(beats, clip.bpm or 0.0), offset))
    return Finding(
        "Tempo",
        f"{len(clips)} clips of {seconds} s with a clock from 70 to 170 bpm and captions of held-out songs; madmom"
        f" hears the beats. Right: within 4 %. Beside it the same of {len(real)} held-out training renders.",
        figures={
            "tempo_ok": mine["ok"],
            "tempo_octave": mine["octave"],
            "beat_offset_ms": mine["offset"],
            "beat_bias_ms": mine["bias"],
        },
        rows=[
            ("tempo right", mine["ok"], theirs["ok"]),
            ("right, or double or half", mine["octave"], theirs["octave"]),
            ("beats off the nearest asked beat, median, ms", mine["offset"], theirs["offset"]),
            ("the same with sign (+ is late)", mine["bias"], theirs["bias"]),
        ],
        detail=table,
        plots=[histograms(offsets, np.linspace(-250, 250, 51), "ms from the nearest beat")],
        players=[(f"{clip.prompt}, {clip.bpm:g} bpm", file) for clip, file in zip(clips[:4], files, strict=False)],
    )
