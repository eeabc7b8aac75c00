"""Ten outputs of the bundled model, measured and drawn: `python bench/gallery.py --out build/gallery`.

Each is what the model plays when it is told a style in words and nothing else, from its first sample on. Writes FLACs,
one picture of all spectrograms (mid channel), and one close-up of each below 4 kHz, to be looked at; prints a table in
Markdown, and as the last line JSON. Tempo, beats and chords are madmom's.
"""

import argparse
import json
import sys
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import soundfile
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Controls
from jackdaw.engine.weights.tiny import load_tiny

sys.path.insert(0, str(Path(__file__).resolve().parent / "eval"))
from judge_music import loudness
from study import judged, need_judges

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["main"]

_RATE = 48000
_PROMPTS = (
    "disco funk", "bossa nova", "slow blues", "metal", "house", "reggae", "swing", "fast waltz", "ambient",
    "drum and bass",
)  # fmt: skip
_BANDS = (0, 200, 800, 3000, 8000, 24000)
Audio = NDArray[np.float32]


def _played(model: Any, prompt: str, seed: int, seconds: float) -> Audio:
    state, controls, steps = model.init(seed), Controls(style=model.embed(prompt)), []
    for _ in range(round(seconds / model.spec.step_seconds)):
        state, audio = model.step(state, controls, None)
        steps.append(audio)
    return np.concatenate(steps)


def _drawn(path: Path, takes: dict[str, Audio], top: float, start: float = 0.0, end: float | None = None) -> None:
    rows = -(-len(takes) // 2)
    figure, axes = plt.subplots(rows, min(2, len(takes)), figsize=(15, 2.3 * rows), layout="constrained", squeeze=False)
    for axis, (name, audio) in zip(axes.T.flat, takes.items(), strict=False):
        mid = audio.mean(axis=1)[round(start * _RATE) : None if end is None else round(end * _RATE)]
        axis.specgram(mid + 1e-9, NFFT=4096, Fs=_RATE, noverlap=2048, cmap="magma", vmin=-110, vmax=-30)
        axis.set(ylim=(0, top), title=name, xlim=(0, len(mid) / _RATE))
    figure.savefig(path, dpi=70)
    plt.close(figure)


def _measured(path: Path, audio: Audio, told_bpm: float) -> dict[str, Any]:
    power = np.abs(np.fft.rfft(audio.mean(axis=1))) ** 2
    hertz = np.fft.rfftfreq(len(audio), 1 / _RATE)
    shares = [power[(hertz >= low) & (hertz < high)].sum() for low, high in pairwise(_BANDS)]
    beats = np.array(judged("beats", path))
    gaps = np.diff(beats)
    chords = [label for _, _, label in judged("chords", path)]
    mid, side = audio.mean(axis=1), (audio[:, 0] - audio[:, 1]) / 2
    return {
        "told_bpm": round(told_bpm),
        "heard_bpm": round(60 / float(np.median(gaps)), 1) if len(gaps) else None,
        "beat_sd_ms": round(1e3 * float(np.std(gaps)), 0) if len(gaps) else None,
        "lufs": round(float(loudness(audio, len(audio) / _RATE, len(audio) / _RATE)[0]), 1),
        "peak": round(float(np.abs(audio).max()), 2),
        "side_db": round(10 * float(np.log10(np.mean(side**2) / np.mean(mid**2) + 1e-9)), 0),
        "bands_db": [round(10 * float(np.log10(share / sum(shares) + 1e-9)), 0) for share in shares],
        "chords": " ".join(chords),
    }


def main() -> int:
    """Play, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/gallery"))
    parser.add_argument("--seconds", type=float, default=24.0)
    shipped = Path(str(files("jackdaw.engine.models"))) / "weights"
    parser.add_argument("--weights", type=Path, default=shipped, help="folder")
    arguments = parser.parse_args()
    need_judges()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = load_tiny(arguments.weights)
    takes, found, third = {}, {}, arguments.seconds / 3
    for number, prompt in enumerate(_PROMPTS):
        takes[prompt] = _played(model, prompt, 1 + number, arguments.seconds)
        path = arguments.out / f"{prompt.replace(' ', '-')}.flac"
        soundfile.write(path, takes[prompt], _RATE)
        _drawn(path.with_suffix(".png"), {prompt: takes[prompt]}, 4000.0, third, third + 6.0)
        found[prompt] = _measured(path, takes[prompt], model.usual(model.embed(prompt)).bpm)
        row = found[prompt].values()
        print("| " + " | ".join([prompt, *(str(value) for value in row)]) + " |", flush=True)
    _drawn(arguments.out / "all.png", takes, 16000.0)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, FileNotFoundError, ValueError, RuntimeError) as error:
        sys.exit(f"bench: {error or 'stopped'}")
