"""A jam of two minutes by script: `make bench-jam CORPUS=corpus`, on a real JACK server.

A riff, the harmony of a held-out song of the corpus, is played into the model in time with JACK's transport, with
rests; prompts change on the way. Writes into --out what was played and heard (FLAC), its markers (MIDI), and a picture:
both spectrograms, the beats that madmom finds against the transport's grid, and how much of the chroma of what is
played lies on the riff's chords. The last line is JSON.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import soundfile
from numpy.typing import NDArray
from studio import Studio

from jackdaw.engine.protocol.client import ControlClient

sys.path.insert(0, str(Path(__file__).resolve().parent / "eval"))
from material import Song, read_corpus
from study import judged, need_judges

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["main"]

_RATE = 48000
_SECONDS = 120.0
_BARS = 8
_PLAYED = ((15.0, 55.0), (75.0, 110.0))  # about: the riff begins and ends on bar lines
_PROMPTS = ((0.0, None), (55.0, "slow blues"), (75.0, None))  # None: in the words of the riff's song
_HARMONY = slice(4, 6)
_RUN_IN_S = 3.0


def _chosen(songs: list[Song], name: str | None) -> Song:
    """Return the song of a name, or the first held-out one for a full band in four that has a harmony."""
    for song in songs:
        fits = song.split != "train" and song.beats_per_bar == 4 and song.labels["version"] == "full"
        if song.name == name or (name is None and fits and "harmony" in song.labels["parts"]):
            return song
    raise ValueError(f"no such song in the corpus: {name or 'a held-out one for a full band'}")


def _riff(song: Song) -> tuple[NDArray[np.float32], list[tuple[float, float, int, str]]]:
    """Return some bars of the song's harmony, float32 (frames, 2), and their chords from its beginning."""
    start = song.bar_after(4.0, _BARS * 4 * 60.0 / song.bpm + 0.5)
    frames = round(_BARS * 4 * 60.0 / song.bpm * _RATE)
    stems = song.path.with_suffix("").with_suffix(".stems.flac")
    sound, _ = soundfile.read(stems, start=round(start * _RATE), frames=frames, dtype="float32")
    return sound[:, _HARMONY], list(song.chords(start, frames / _RATE))


def _part(song: Song) -> tuple[NDArray[np.float32], list[tuple[float, float, int, str]]]:
    """Return what is played into the model, as long as the jam, and the chords of it."""
    riff, chords = _riff(song)
    bar = 4 * 60.0 / song.bpm
    part, told = np.zeros((round(_SECONDS * _RATE), 2), np.float32), []
    for begin, end in _PLAYED:
        first, last = round(begin / bar), round(end / bar)
        for at in range(first, last, _BARS):
            start, bars = at * bar, min(_BARS, last - at)
            piece = riff[: round(bars * bar * _RATE)]
            frame = round(start * _RATE)
            part[frame : frame + len(piece)] = piece[: len(part) - frame]
            told += [
                (start + a, start + min(b, bars * bar), root, kind) for a, b, root, kind in chords if a < bars * bar
            ]
    return part, told


def _jam(folder: Path, out: Path, song: Song, part: NDArray[np.float32]) -> tuple[Any, dict[str, Any]]:
    """Play; return what the probe recorded, and the last status."""
    with Studio(folder, _RATE, 256, "tiny") as room:
        room.start_server()
        room.start_engine("--target-ms", "200", "--prompt", song.family, "--seed", "7")
        bridge = room.start_bridge("--no-connect", "--record", str(out / "jam.flac"))
        room.wait_for_sound()
        time.sleep(1.0)
        with contextlib.closing(ControlClient(room.session, room.session)) as control:
            probe = room.probe(len(part), "-l", "0", "-b", str(song.bpm), say=True, play=part)
            begun = time.monotonic()
            for at, prompt in _PROMPTS[1:]:
                time.sleep(max(0.0, begun + at - time.monotonic()))
                control.prompt([{"text": prompt or song.family, "weight": 1.0}])
            take = probe.result(_SECONDS + 60)
            status = control.status()
        bridge.stop()
    return take, status


def _shares(chroma: NDArray[np.float64], chords: list[tuple[float, float, int, str]]) -> NDArray[np.float64]:
    """Return for each row of 100 ms how much of the chroma lies on the riff's triad; NaN where the riff rests."""
    shares = np.full(len(chroma), np.nan)
    for start, end, root, kind in chords:
        third = 3 if kind.startswith(("min", "dim", "hdim")) else 4
        tones = [root % 12, (root + third) % 12, (root + 7) % 12]
        rows = slice(round(start * 10), round(end * 10))
        shares[rows] = chroma[rows][:, tones].sum(axis=1) / (chroma[rows].sum(axis=1) + 1e-9)
    return shares


def _draw(path: Path, played: Any, part: Any, beats: Any, off: Any, shares: Any, chance: Any) -> None:
    figure, axes = plt.subplots(4, 1, figsize=(14, 11), sharex=True, layout="constrained", height_ratios=(3, 2, 2, 2))
    for axis, sound, name in ((axes[0], played, "played"), (axes[1], part, "heard: the riff")):
        axis.specgram(sound.mean(axis=1) + 1e-9, NFFT=4096, Fs=_RATE, noverlap=2048, cmap="magma", vmin=-110, vmax=-30)
        axis.set(ylim=(0, 8000), ylabel="Hz", title=name)
    axes[2].plot(beats, off * 1e3, ".", ms=4)
    axes[2].axhline(0, lw=0.5, color="k")
    axes[2].set(ylim=(-120, 120), ylabel="ms late", title="beats of what is played against JACK's transport (madmom)")
    smooth = np.convolve(np.nan_to_num(shares), np.ones(10) / 10, "same")
    axes[3].plot(np.arange(len(shares)) / 10, np.where(np.isnan(shares), np.nan, smooth), label="on the riff's chords")
    axes[3].axhline(chance, lw=0.7, ls="--", color="k", label="on the same chords while the riff rests")
    axes[3].set(ylim=(0, 1), xlabel="s", title="share of the chroma (madmom)", xlim=(0, _SECONDS))
    axes[3].legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=75)


def _rest(chroma: NDArray[np.float64], shares: NDArray[np.float64], chords: list[Any]) -> float:
    """Return the share on the riff's chords, taken in turn, of the chroma while the riff rests."""
    rows = chroma[np.isnan(shares)]
    rows = rows / (rows.sum(axis=1, keepdims=True) + 1e-9)
    each = [_shares(rows, [(0.0, len(rows) / 10, *chord[2:])]).mean() for chord in chords]
    return float(np.mean(each))


def main() -> int:
    """Jam, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder that `jackdaw train corpus` made")
    parser.add_argument("--song", help="whose harmony is the riff (default: the first held-out one that fits)")
    parser.add_argument("--out", type=Path, default=Path("build/jam"), help="folder for recordings and picture")
    arguments = parser.parse_args()
    need_judges()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for old in arguments.out.glob("jam*"):
        old.unlink()
    song = _chosen(read_corpus(arguments.corpus), arguments.song)
    print(f"riff: {song.name}, {song.family}, {song.bpm:g} bpm; two minutes", file=sys.stderr)
    part, chords = _part(song)
    with tempfile.TemporaryDirectory() as folder:
        take, status = _jam(Path(folder), arguments.out, song, part)
    sound = arguments.out / "played.wav"
    soundfile.write(sound, take.audio, _RATE)
    beats, chroma = np.array(judged("beats", sound)), np.array(judged("chroma", sound))
    beats = beats[beats > _RUN_IN_S]
    off = take.off_beat(beats, song.bpm)
    shares = _shares(chroma, chords)
    chance = _rest(chroma, shares, chords)
    _draw(arguments.out / "jam.png", take.audio, part, beats, off, shares, chance)
    figures = {
        "song": song.name,
        "family": song.family,
        "bpm": song.bpm,
        "heard_bpm": 60.0 / float(np.median(np.diff(beats))),
        "beat_offset_ms": float(np.median(np.abs(off))) * 1e3,
        "beat_bias_ms": float(np.median(off)) * 1e3,
        "drift_ms_per_min": float(np.polyfit(beats, off, 1)[0]) * 60e3,
        "share_on_the_riffs_chords": float(np.nanmean(shares)),
        "share_while_it_rests": chance,
        "underruns": status["underruns_after_start"],
        "xruns": status["xruns"],
    }
    print(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in figures.items()}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, FileNotFoundError, ValueError, RuntimeError) as error:
        sys.exit(f"bench: {error or 'stopped'}")
