"""Name the style of a recording, by a judge that shares nothing with Jackdaw's own model.

Hand-made statistics of timbre, rhythm and harmony go into a softmax regression trained on the corpus's training songs.

    python bench/judge_style.py train --corpus DIR --judge judge.npz     # prints accuracy on unseen songs
    python bench/judge_style.py name FILE... --judge judge.npz [--among swing,waltz,...]

Needs numpy, scipy, soundfile, soxr and rich. Reads the corpus; writes the judge file alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from rich.progress import track
from scipy.fft import dct
from scipy.optimize import minimize

__all__ = ["Judge", "features", "fit", "name_style", "train"]

Array = npt.NDArray[np.float64]
RATE = 16000
SIZE, HOP = 512, 160  # 32 ms windows every 10 ms
EXCERPT_S = 15.0
LAGS = np.geomspace(8, 400, 128)  # onset lags of 0.08-4 s, in hops


def _mel_bank(bands: int = 40, low: float = 40.0, high: float = 7600.0) -> Array:
    """Triangles of equal width in mel, shape (bands, SIZE // 2 + 1)."""
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.arange(SIZE // 2 + 1) * RATE / SIZE
    rise = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall))


def _spectra(sound: Array, size: int, hop: int) -> Array:
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    spectra: Array = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))
    return spectra


def features(sound: Array, rate: int) -> Array:
    """Statistics of one excerpt.

    Parameters
    ----------
    sound : ndarray, shape (frames,) or (frames, channels)
        At least 5 s.
    rate : int
        Sampling rate in Hz.

    Returns
    -------
    ndarray, shape (n,)
        Level-free: timbre below 7.6 kHz, onset patterns by band and lag, key-free harmony.

    Raises
    ------
    ValueError
        If the excerpt is shorter than 5 s.
    """
    mono = sound if sound.ndim == 1 else sound.mean(axis=1)
    if len(mono) < 5 * rate:
        raise ValueError(f"the judge needs at least 5 s of sound, this has {len(mono) / rate:.1f} s")
    mono = soxr.resample(mono, rate, RATE) if rate != RATE else mono
    mono = mono / (np.sqrt(np.mean(mono**2)) + 1e-9)
    mel = np.log(_spectra(mono, SIZE, HOP) @ _mel_bank().T + 1e-2)
    cepstrum = dct(mel, axis=1, norm="ortho")[:, :20]
    slope = np.diff(cepstrum[:, :13], axis=0)
    flux = np.maximum(0, np.diff(mel, axis=0))
    bands = np.stack([part.mean(axis=1) for part in np.array_split(flux, 4, axis=1)])
    rhythm = []
    for band in (*bands, bands.mean(axis=0)):
        centred = band - band.mean()
        power = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
        correlation = np.fft.irfft(power)[:410] / (power.mean() + 1e-9)
        # On an axis of log lag another tempo is a shift, which the magnitude of the Fourier transform does not see.
        stretched = np.interp(LAGS, np.arange(len(correlation)), correlation)
        rhythm.append(np.abs(np.fft.rfft(stretched * np.hanning(len(LAGS))))[1:30])
        rhythm.append(np.array([band.mean(), band.std(), (centred**3).mean() / (band.std() ** 3 + 1e-9)]))
    spectrum = _spectra(mono, 4096, 1600)
    hertz = np.arange(spectrum.shape[1]) * RATE / 4096
    able = (hertz > 100) & (hertz < 1500)
    classes = np.round(69 + 12 * np.log2(hertz[able] / 440)).astype(int) % 12
    fold = (classes[:, None] == np.arange(12)).astype(float)
    chroma = spectrum[:, able] @ fold
    chroma /= chroma.sum(axis=1, keepdims=True) + 1e-9
    mean = chroma.mean(axis=0)
    intervals = np.array([(chroma * np.roll(chroma, k, axis=1)).sum(axis=1).mean() for k in range(7)])
    harmony = [np.sort(mean)[::-1], intervals, [np.abs(np.diff(chroma, axis=0)).mean()]]
    timbre = [cepstrum.mean(axis=0)[1:], cepstrum.std(axis=0), slope.std(axis=0)]
    row: Array = np.concatenate([*timbre, *rhythm, *harmony])
    return row


@dataclass(frozen=True)
class Judge:
    """A trained softmax regression: standardisation, weights, and the names of its classes."""

    names: tuple[str, ...]
    mean: Array
    scale: Array
    weights: Array
    bias: Array

    def probabilities(self, rows: Array) -> Array:
        """Class probabilities, shape (rows, classes)."""
        score = (rows - self.mean) / self.scale @ self.weights + self.bias
        score = np.exp(score - score.max(axis=1, keepdims=True))
        shares: Array = score / score.sum(axis=1, keepdims=True)
        return shares

    def save(self, path: Path) -> None:
        """Write the judge as an ``.npz`` of plain arrays."""
        np.savez(path, names=np.array(self.names), mean=self.mean, scale=self.scale, weights=self.weights,
                 bias=self.bias)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Judge:
        """Read a judge :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            return cls(tuple(map(str, data["names"])), *(data[k] for k in ("mean", "scale", "weights", "bias")))


def fit(rows: Array, labels: npt.NDArray[np.int_], names: Sequence[str], strength: float) -> Judge:
    """Fit a judge.

    Parameters
    ----------
    rows : ndarray, shape (examples, features)
        Statistics or embeddings.
    labels : ndarray of int, shape (examples,)
        Places in `names`.
    names : sequence of str
        The classes.
    strength : float
        Of the weights' decay, >= 0.
    """
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    x, classes = (rows - mean) / scale, len(names)
    target = np.eye(classes)[labels]

    def loss(flat: Array) -> tuple[float, Array]:
        weights, bias = flat[:-classes].reshape(-1, classes), flat[-classes:]
        score = x @ weights + bias
        score -= score.max(axis=1, keepdims=True)
        total = np.log(np.exp(score).sum(axis=1, keepdims=True))
        error = (np.exp(score - total) - target) / len(x)
        value = -(target * (score - total)).sum() / len(x) + strength * (weights**2).sum() / 2
        return value, np.concatenate([(x.T @ error + strength * weights).ravel(), error.sum(axis=0)])

    start = np.zeros((x.shape[1] + 1) * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
    return Judge(tuple(names), mean, scale, found[:-classes].reshape(-1, classes), found[-classes:])


def _excerpts(path: Path) -> list[Array]:
    """Features of the non-overlapping 15 s excerpts of a file (one shorter excerpt if that is all there is)."""
    sound, rate = soundfile.read(path)
    length = int(EXCERPT_S * rate)
    starts = range(0, max(1, len(sound) - length + 1), length)
    return [features(sound[s : s + length], rate) for s in starts]


def name_style(path: Path, judge: Judge, among: Sequence[str] = ()) -> list[tuple[str, float]]:
    """Style groups of a file, most probable first.

    Parameters
    ----------
    path : Path
        WAV or FLAC, at least 5 s.
    judge : Judge
        Trained.
    among : sequence of str
        Groups to choose from; empty: all.

    Raises
    ------
    ValueError
        If a name in ``among`` is not a group, or the file is too short.
    """
    unknown = set(among) - set(judge.names)
    if unknown:
        raise ValueError(f"no such style group: {sorted(unknown)}; the judge knows {', '.join(judge.names)}")
    mean = np.log(judge.probabilities(np.array(_excerpts(path))) + 1e-9).mean(axis=0)
    chosen = [i for i, name in enumerate(judge.names) if not among or name in among]
    share = np.exp(mean[chosen] - mean[chosen].max())
    order = np.argsort(-share)
    return [(judge.names[chosen[i]], float(share[i] / share.sum())) for i in order]


def train(corpus: Path) -> Judge:
    """Train on the training songs and print the accuracy on excerpts of the valid and test songs.

    Parameters
    ----------
    corpus : Path
        Folder with ``manifest.jsonl`` and ``songs/``.
    """
    songs = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text().splitlines()]
    names = sorted({s["style_group"] for s in songs})
    sets: dict[str, list[tuple[Array, int, dict[str, str]]]] = {"train": [], "valid": [], "test": []}
    for song in track(songs, "listening"):
        for row in _excerpts(corpus / "songs" / f"{song['id']}.flac"):
            sets[song["split"]].append((row, names.index(song["style_group"]), song))
    stacked = {k: (np.array([r for r, _, _ in v]), np.array([c for _, c, _ in v])) for k, v in sets.items()}
    judges = [fit(*stacked["train"], names, strength) for strength in (0.003, 0.01, 0.03, 0.1)]
    right = [float((j.probabilities(stacked["valid"][0]).argmax(1) == stacked["valid"][1]).mean()) for j in judges]
    judge = judges[int(np.argmax(right))]
    print(f"{len(stacked['train'][1])} excerpts of 15 s for training; best on valid: {max(right):.2f}")
    hits = judge.probabilities(stacked["test"][0]).argmax(axis=1) == stacked["test"][1]
    kinds = np.array([song["held_out"] for _, _, song in sets["test"]])
    print(f"test: {hits.mean():.2f} of {len(hits)} excerpts ({len(names)} groups, chance {1 / len(names):.2f})")
    for kind in ("groove", "progression"):
        print(f"  unseen {kind}: {hits[kinds == kind].mean():.2f} of {(kinds == kind).sum()}")
    both = np.concatenate([stacked["valid"][0], stacked["test"][0]])
    truth = np.concatenate([stacked["valid"][1], stacked["test"][1]])
    guess = judge.probabilities(both).argmax(axis=1)
    for i, name in enumerate(names):
        mine = truth == i
        if mine.any():
            wrong = [names[g] for g in guess[mine] if g != i]
            heard = ", ".join(sorted(set(wrong)))
            print(
                f"  {name:12s} {(guess[mine] == i).mean():.2f} of {mine.sum():3d}"
                + (f"  heard as {heard}" if wrong else "")
            )
    return judge


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train", help="train on a corpus and print accuracy on unseen songs")
    learn.add_argument("--corpus", type=Path, required=True)
    learn.add_argument("--judge", type=Path, required=True, help="file to write (.npz)")
    tell = commands.add_parser("name", help="name the style of files")
    tell.add_argument("files", type=Path, nargs="+")
    tell.add_argument("--judge", type=Path, required=True)
    tell.add_argument("--among", default="", help="comma-separated style groups to choose from (default: all)")
    given = parser.parse_args()
    if given.command == "train":
        train(given.corpus).save(given.judge)
        return
    judge = Judge.load(given.judge)
    among = [name for name in given.among.split(",") if name]
    for path in given.files:
        best = name_style(path, judge, among)[:3]
        print(f"{path.name}: " + ", ".join(f"{name} {share:.2f}" for name, share in best))


if __name__ == "__main__":
    main()
