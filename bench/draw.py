"""Draw a recording: spectrogram of the mid channel, level of both sides, and optionally a stretch in close-up.

python bench/draw.py jam.flac jam.png [--seconds 60] [--zoom 10 14] [--title "..."]
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np
import soundfile

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["main"]

_FLOOR_DB = -90.0


def _spectrogram(axis: "plt.Axes", mid: np.ndarray, rate: int, start: float, top: float) -> None:
    axis.specgram(mid + 1e-9, NFFT=4096, Fs=rate, noverlap=3072, cmap="magma", vmin=_FLOOR_DB - 20, vmax=-30)
    axis.set_ylim(0, top)
    ticks = axis.get_xticks()
    axis.set_xticks(ticks, [f"{start + tick:g}" for tick in ticks])
    axis.set_xlim(0, len(mid) / rate)
    axis.set_ylabel("Hz")


def main() -> int:
    """Read the recording and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--zoom", type=float, nargs=2, default=(10.0, 14.0), metavar=("FROM", "TO"))
    parser.add_argument("--title", default="")
    arguments = parser.parse_args()
    audio, rate = soundfile.read(arguments.recording, dtype="float32", always_2d=True)
    audio = audio[: int(arguments.seconds * rate)]
    mid = audio.mean(axis=1)
    figure, (whole, close, level) = plt.subplots(3, 1, figsize=(13, 8), height_ratios=(3, 3, 1), layout="constrained")
    _spectrogram(whole, mid, rate, 0.0, 16000)
    first, last = (int(edge * rate) for edge in arguments.zoom)
    _spectrogram(close, mid[first:last], rate, arguments.zoom[0], 5000)
    block = rate // 20
    power = (audio[: len(audio) // block * block].reshape(-1, block, audio.shape[1]) ** 2).mean(axis=1)
    for channel, name in enumerate(("left", "right")[: audio.shape[1]]):
        level.plot(np.arange(len(power)) / 20, 10 * np.log10(power[:, channel] + 1e-9), lw=0.7, label=name)
    level.set(xlim=(0, len(audio) / rate), ylim=(_FLOOR_DB, 0), xlabel="s", ylabel="dBFS")
    level.legend(loc="lower right", fontsize=7)
    whole.set_title(arguments.title or arguments.recording.name)
    figure.savefig(arguments.picture, dpi=80)
    return 0


if __name__ == "__main__":
    sys.exit(main())
