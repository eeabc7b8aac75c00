"""Codec: what is left of music that goes through the model's codes?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from clips import place
from codec import OPUS, mel_db, through_opus
from judge_music import agreement
from material import spread
from plots import series
from scores import chord_agreement, codes_used, ratio
from study import Finding, Study

__all__ = ["measure"]


def measure(study: Study) -> Finding:
    """Send held-out songs through encode and decode; ViSQOL and madmom compare."""
    names = ("visqol", "codec_chord", "codec_chord_ratio", "codebook_use_min", "codec_mel_db", "codec_side_db")
    spec = study.model.spec
    if not study.codes_sound:
        return Finding("Codec", "", dict.fromkeys(names), note="This model has no codes, or cannot decode them.")
    seconds = study.count(12, 8)
    held = [song for song in study.held_out() if song.seconds >= seconds]
    songs = spread(held, study.count(24, 3))
    starts = [song.bar_after(10.0, seconds) for song in songs]
    trained = spread([song for song in study.songs if song.split == "train"], study.count(40, 4))
    whole = [*spread(held, study.count(40, 4)), *trained]
    longest = study.count(60, 15)
    total = len(songs) * seconds + sum(min(song.seconds, longest) for song in whole)
    tick = study.counter("codec: encoding", total)
    coded = []
    for song, start in zip(songs, starts, strict=True):
        coded.append(study.coded(song, start, seconds))
        tick(seconds)
    parts = []
    for song in whole:
        parts.append(study.codes(song, 0.0, min(song.seconds, longest)))
        tick(min(song.seconds, longest))
    codes = np.concatenate(parts)
    used = codes_used(codes, spec.codebook)
    originals = [study.excerpt(song, start, seconds) for song, start in zip(songs, starts, strict=True)]
    opinions = study.verdicts("codec", "visqol", coded, originals)
    heard = study.verdicts("codec", "chords", originals + coded)
    some = spread(list(zip(originals, coded, heard, strict=False)), study.count(8, 1))
    peers = _peers(study, some)
    same = [agreement(a, b) or 0.0 for a, b in zip(heard[: len(songs)], heard[len(songs) :], strict=True)]
    told = [song.chords(start, seconds) for song, start in zip(songs, starts, strict=True)]
    right = [
        [
            score
            for asked, said in zip(told, verdicts, strict=True)
            if (score := chord_agreement(asked, said)) is not None
        ]
        for verdicts in (heard[: len(songs)], heard[len(songs) :])
    ]
    before, after = (float(np.mean(scores)) if scores else None for scores in right)
    mel, side = _mel_errors(originals, coded)
    table: list[tuple[object, ...]] = [("song", "style", "ViSQOL", "mel dB", "side dB", "chords as before")]
    table += [
        (song.name, song.family, *values)
        for song, *values in zip(songs, opinions, mel, side, same, strict=True)
    ]  # fmt: skip
    growth = np.unique(np.geomspace(100, len(codes), 12).astype(int))
    lines = {
        f"level {level + 1}": (growth / 25, [len(np.unique(codes[:n, level])) / spec.codebook for n in growth])
        for level in range(spec.levels)
    }
    listen = [pair for a, b in zip(originals[:3], coded, strict=False) for pair in (("original", a), ("coded", b))]
    return Finding(
        "Codec",
        f"{len(songs)} held-out songs, {seconds} s each, through the model's encoder and decoder. Chords: agreement of"
        " madmom's verdict with its own on the original, and right triads beside those that it hears there."
        " Codebook use: share of the codes of each level that occur in"
        f" {len(codes) / 25 / 60:.0f} minutes of held-out and training songs; it grows with the minutes.",
        figures={
            "visqol": float(np.mean(opinions)),
            "codec_chord": float(np.mean(same)),
            "codec_chord_ratio": ratio(after, before),
            "codebook_use_min": min(used),
            "codec_mel_db": float(np.mean(mel)),
            "codec_side_db": float(np.mean(side)),
            "codebook_use": [round(share, 3) for share in used],
            "codec_beside": peers,
        },
        rows=[
            ("ViSQOL, 1 .. 4.73", float(np.mean(opinions)), 4.73),
            ("mel error, dB", float(np.mean(mel)), 0.0),
            ("side error, dB", float(np.mean(side)), 0.0),
            ("chords as in the original", float(np.mean(same)), 1.0),
            ("right triad, share of the time", after, before),
            *((f"codes of level {n + 1} in use", share, None) for n, share in enumerate(used)),
            *(
                (f"{len(some)} of the songs, {name}, {at['kbit_s']:g} kbit/s: {key}", at[key], None)
                for name, at in peers.items()
                for key in ("visqol", "mel_db", "side_db", "chord")
            ),
        ],
        detail=table,
        plots=[series(lines, "seconds of music", "share of codes that occurred")],
        players=listen,
    )


def _peers(study: Study, some: list[tuple[Path, Path, Any]]) -> dict[str, dict[str, float]]:
    """Return the figures of the codec and of Opus on some of the songs: original, coded, chords of the original."""
    spec = study.model.spec
    originals = [song[0] for song in some]
    ours = float(np.log2(spec.codebook)) * spec.levels * spec.sample_rate / spec.frame_samples / 1000
    ways = {"the codec": ([song[1] for song in some], ours)}
    for kilobits in OPUS:
        files, rates = [], []
        for original in originals:
            audio, rate = through_opus(original, kilobits, soundfile.info(original).frames)
            files.append(
                place(study.out / "clips" / "opus" / f"{original.stem}-{kilobits}.flac", audio, spec.sample_rate)
            )
            rates.append(rate)
        ways[f"Opus at {kilobits}"] = files, float(np.mean(rates))
    found = {}
    for name, (files, rate) in ways.items():
        chords = study.verdicts("codec", "chords", files)
        mel, side = _mel_errors(originals, files)
        parts = {
            "visqol": study.verdicts("codec", "visqol", files, originals),
            "mel_db": mel,
            "side_db": side,
            "chord": [agreement(song[2], other) or 0.0 for song, other in zip(some, chords, strict=True)],
        }
        found[name] = {"kbit_s": round(rate, 1)} | {key: round(float(np.mean(x)), 3) for key, x in parts.items()}
    return found


def _mel_errors(originals: Sequence[Path], others: Sequence[Path]) -> tuple[list[float], list[float]]:
    """Return the mean errors of left and right, and of the side, in mel bands: dB, of each file."""
    mel, side = [], []
    for original, other in zip(originals, others, strict=True):
        one, two = (soundfile.read(path, dtype="float32", always_2d=True)[0] for path in (original, other))
        size = min(len(one), len(two)) // 480 * 480
        error = np.abs(mel_db(one[:size]) - mel_db(two[:size]))
        mel.append(float(error[:, :2].mean()))
        side.append(float(error[:, 2].mean()))
    return mel, side
