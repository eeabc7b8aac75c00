"""Judge music: is it alive, what are its tempo, beats and chords, how near is it to a reference.

Runs in the judges' own environment (made by ``scripts/setup-judges``) and prints one line of JSON per file:

    .venv-judges/bin/python bench/judge_music.py FILE... [--labels SONG.json] [--reference ORIGINAL.wav] [--no-beats]

Liveness is computed here. Tempo, beats and chords are madmom's (Boeck et al. 2016; Korzeniowski and Widmer 2016), the
distance to a reference is ViSQOL's in audio mode (Chinen et al. 2020). For evaluation only: madmom's models are
CC BY-NC-SA 4.0 and are neither shipped nor used to make anything that is shipped.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import lfilter

__all__ = [
    "against_labels",
    "agreement",
    "find_beats",
    "find_chords",
    "liveness",
    "load",
    "loudness",
    "mono",
    "similarity",
    "tempo_of",
]

Audio = NDArray[np.float32]
Chords = list[tuple[float, float, str]]

SILENCE_DB = -60.0
"""Blocks of 10 ms whose peak is lower are silent."""
LONGEST_SILENCE = 3.0
"""Seconds of silence that living music may have."""
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# K-weighting at 48 kHz: ITU-R BS.1770-4, tables 1 and 2.
_SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def load(path: Path, rate: int = 48000) -> Audio:
    """Return a file's samples at `rate`, float32, shape (samples, channels)."""
    audio, had = soundfile.read(path, dtype="float32", always_2d=True)
    return audio if had == rate else soxr.resample(audio, had, rate)


def loudness(audio: Audio, seconds: float, hop: float) -> NDArray[np.float64]:
    """Loudness of blocks in LUFS (BS.1770-4), at 48 kHz."""
    weighted = audio.astype(np.float64)
    for b, a in (_SHELF, _HIGH_PASS):
        weighted = lfilter(b, a, weighted, axis=0)
    power = np.concatenate([[0.0], np.cumsum((weighted**2).sum(axis=1))])
    size, step = int(seconds * 48000), int(hop * 48000)
    starts = np.arange(0, max(len(audio) - size, 0) + 1, step)
    ends = np.minimum(starts + size, len(audio))
    return -0.691 + 10 * np.log10(np.maximum((power[ends] - power[starts]) / size, 1e-12))


def _gated(blocks: NDArray[np.float64], below: float) -> NDArray[np.float64]:
    """Drop blocks under -70 LUFS, then those more than `below` LU under the rest's mean power."""
    loud = blocks[blocks > -70]
    if loud.size == 0:
        return loud
    return loud[loud > 10 * np.log10(np.mean(10 ** (loud / 10))) - below]


def liveness(audio: Audio) -> dict[str, Any]:
    """Tell whether audio at 48 kHz is sound at all.

    Returns
    -------
    dict
        ``finite``; ``peak_dbfs``; ``clipped``: runs of 3 or more samples at full scale; ``longest_silence_s``;
        ``loudness_lufs`` (BS.1770-4) and ``loudness_range_lu`` (EBU Tech 3342), None for silence; ``alive``: finite,
        not clipped, no silence longer than 3 s.
    """
    if not np.isfinite(audio).all():
        return {"finite": False, "alive": False}
    peaks = np.abs(audio).max(axis=1)
    full = np.abs(audio) >= 0.9999
    held = full[2:] & full[1:-1] & full[:-2]
    clipped = int((held[1:] & ~held[:-1]).sum() + held[:1].sum())
    blocks = peaks[: len(peaks) // 480 * 480].reshape(-1, 480).max(axis=1) < 10 ** (SILENCE_DB / 20)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], blocks.astype(np.int8), [0]])))
    silence = float(np.max(edges[1::2] - edges[::2], initial=0)) / 100
    momentary, short = _gated(loudness(audio, 0.4, 0.1), 10), _gated(loudness(audio, 3.0, 0.1), 20)
    return {
        "finite": True,
        "peak_dbfs": round(float(20 * np.log10(max(peaks.max(initial=0), 1e-9))), 2),
        "clipped": clipped,
        "longest_silence_s": silence,
        "loudness_lufs": round(float(10 * np.log10(np.mean(10 ** (momentary / 10)))), 1) if momentary.size else None,
        "loudness_range_lu": round(float(np.subtract(*np.percentile(short, [95, 10]))), 1) if short.size else None,
        "alive": clipped == 0 and silence <= LONGEST_SILENCE and len(audio) > 0,
    }


def mono(audio: Audio) -> Any:
    """Return audio at 48 kHz as madmom takes it: one channel of 16 bits at 44.1 kHz."""
    from madmom.audio.signal import Signal

    sound = soxr.resample(audio.mean(axis=1), 48000, 44100)
    return Signal((np.clip(sound, -1, 1) * 32767).astype(np.int16), sample_rate=44100, num_channels=1)


def find_beats(audio: Audio) -> NDArray[np.float64]:
    """Return the times of beats in seconds, of audio at 48 kHz."""
    from madmom.features.beats import DBNBeatTrackingProcessor, RNNBeatProcessor

    return np.asarray(DBNBeatTrackingProcessor(fps=100)(RNNBeatProcessor()(mono(audio))))


def tempo_of(beats: NDArray[np.float64]) -> float | None:
    """Return beats per minute from the median distance of beats; None for fewer than 3."""
    return float(60 / np.median(np.diff(beats))) if beats.size >= 3 else None


def find_chords(audio: Audio) -> Chords:
    """Return (start, end, label) of audio at 48 kHz; labels are ``C:maj``, ``A:min``, ..., ``N`` for none."""
    from madmom.features.chords import CNNChordFeatureProcessor, CRFChordRecognitionProcessor

    found = CRFChordRecognitionProcessor()(CNNChordFeatureProcessor()(mono(audio)))
    return [(float(start), float(end), str(label)) for start, end, label in found]


def agreement(one: Chords, other: Chords, *, roots: bool = False) -> float | None:
    """Return the part of the time, 0..1, in which two transcriptions say the same chord (or root); None if empty."""
    end = min(max((c[1] for c in chords), default=0.0) for chords in (one, other))
    times = np.arange(0.05, end, 0.1)
    if times.size == 0:
        return None

    def at(chords: Chords) -> list[str]:
        index = np.clip(np.searchsorted([c[0] for c in chords], times, side="right") - 1, 0, None)
        return [chords[i][2].split(":")[0] if roots else chords[i][2] for i in index]

    return float(np.mean([a == b for a, b in zip(at(one), at(other), strict=True)]))


def against_labels(
    labels: dict[str, Any], start: float, beats: NDArray[np.float64] | None, chords: Chords
) -> dict[str, Any]:
    """Compare with what a song's file says was played, `start` seconds into it.

    Returns
    -------
    dict
        ``tempo_right``: within 4 % of the tempo or of a half, a third, double or triple of it; ``beat_error_ms``:
        median distance of found beats to the nearest true beat or half-beat; ``chords`` and ``roots``: part of the time
        with the right major or minor triad, and the right root.
    """
    shorter = {"maj": "maj", "7": "maj", "maj7": "maj", "min": "min", "min7": "min", "dim": "min"}
    told = [
        (a - start, b - start, f"{_NAMES[root]}:{shorter[quality]}" if quality in shorter else "N")
        for a, b, root, quality in labels["chords"]
        if b > start
    ]
    result: dict[str, Any] = {"chords": agreement(told, chords), "roots": agreement(told, chords, roots=True)}
    tempo = None if beats is None else tempo_of(beats)
    if beats is not None and tempo is not None:
        ratio = tempo / labels["tempo_bpm"]
        true = np.asarray(labels["beats"]) - start
        grid = np.sort(np.concatenate([true, (true[1:] + true[:-1]) / 2]))
        result["tempo_right"] = any(abs(ratio / r - 1) < 0.04 for r in (1, 2, 3, 1 / 2, 1 / 3))
        result["beat_error_ms"] = round(float(np.median(np.abs(beats[:, None] - grid).min(axis=1))) * 1000, 1)
    return result


def similarity(reference: Audio, other: Audio) -> float:
    """Return ViSQOL's opinion score, 1..4.73, of `other` against `reference`, both at 48 kHz, as mono."""
    from visqol import VisqolApi

    judge = VisqolApi()
    judge.create(mode="audio")
    size = min(len(reference), len(other))
    a, b = (x[:size].mean(axis=1).astype(np.float64) for x in (reference, other))
    return float(judge.measure_from_arrays(a, b, 48000).moslqo)


def main() -> int:
    """Judge the files named on the command line."""
    parser = argparse.ArgumentParser(description="Judge music: liveness, tempo, beats, chords.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--reference", type=Path, help="the original: adds ViSQOL and the agreement of chords")
    parser.add_argument(
        "--labels", type=Path, help="JSON of a corpus song: adds how far tempo, beats, chords are right"
    )
    parser.add_argument("--start", type=float, default=0.0, help="where in the labelled song the files begin, seconds")
    parser.add_argument("--no-beats", action="store_true", help="leave tempo and beats out")
    args = parser.parse_args()
    labels = json.loads(args.labels.read_text(encoding="utf-8")) if args.labels else None
    original = load(args.reference) if args.reference else None
    original_chords = find_chords(original) if original is not None else []
    same = args.reference.resolve() if args.reference else None
    for path in args.files:
        audio = load(path)
        report: dict[str, Any] = {"file": str(path), "seconds": round(len(audio) / 48000, 2), **liveness(audio)}
        if report["finite"]:
            chords = original_chords if path.resolve() == same else find_chords(audio)
            beats = None if args.no_beats else find_beats(audio)
            if beats is not None:
                report |= {"tempo_bpm": tempo_of(beats), "beats": [round(float(t), 2) for t in beats]}
            report["found_chords"] = [(round(a, 1), round(b, 1), name) for a, b, name in chords]
            if original is not None:
                report["visqol"] = similarity(original, audio)
                report["chord_agreement"] = agreement(original_chords, chords)
            if labels is not None:
                report["labels"] = against_labels(labels, args.start, beats, chords)
        print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
