"""Band magnitudes, turns and phases of the corpus in 8 bits, made in the background while the training runs.

One thread writes: it looks for songs whose JSON is there (the corpus builder writes that last), analyses the FLAC and
writes ``OUT/features/NNNNN.npy`` under a temporary name, then renames it. The training thread reads through memory maps
and sees a song only once it is whole. A song's features never change.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import soundfile
from jax import Array
from numpy.typing import NDArray

from jackdaw.engine.models.tiny_codec import FLOOR
from jackdaw.engine.models.tiny_spectrum import (
    BANDS,
    BINS,
    HOP,
    RATE,
    TURNS,
    analyse_init,
    analyse_step,
    phases_of_spectra,
    turns_of_spectra,
)

__all__ = ["FeatureStore", "unpack", "unpack_phases", "unpack_turns"]

_LOW, _HIGH = float(np.log(FLOOR)), 1.0
_STEP = (_HIGH - _LOW) / 255
_CHUNK = 100 * HOP
_ANGLE = 2 * np.pi / 256
_COLUMNS = 3 * BANDS + 2 * TURNS

Packed = NDArray[np.uint8]


def unpack(packed: Array) -> Array:
    """Return linear magnitudes (..., 3, BANDS) from 8-bit features (steps of 0.35 dB above the floor)."""
    logs = packed[..., : 3 * BANDS].astype(jnp.float32) * _STEP + _LOW
    return jnp.maximum(jnp.exp(logs) - FLOOR, 0).reshape(*packed.shape[:-1], 3, BANDS)


def unpack_turns(packed: Array) -> Array:
    """Return the turns (..., TURNS) of 8-bit features, radians, to 1.4 degrees."""
    return packed[..., 3 * BANDS : -TURNS].astype(jnp.float32) * _ANGLE


def unpack_phases(packed: Array) -> Array:
    """Return the phases (..., TURNS) of 8-bit features, radians, to 1.4 degrees."""
    return packed[..., -TURNS:].astype(jnp.float32) * _ANGLE


def _pack(path: Path) -> Packed:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != RATE:
        raise ValueError(f"{path} has a rate of {rate} Hz: the corpus must be at {RATE}")
    audio = np.broadcast_to(audio, (len(audio), 2))
    state, parts, before = analyse_init(), [], np.zeros((2, BINS), np.complex64)
    for start in range(0, len(audio) - _CHUNK + 1, _CHUNK):
        state, bands, spectra = analyse_step(state, audio[start : start + _CHUNK])
        logs = np.clip(np.rint((np.log(bands + FLOOR) - _LOW) / _STEP), 0, 255)
        angles = np.concatenate([turns_of_spectra(before, spectra), phases_of_spectra(spectra)], axis=1)
        steps = np.rint(angles / _ANGLE) % 256
        parts.append(np.concatenate([logs.reshape(len(bands), -1), steps], axis=1).astype(np.uint8))
        before = spectra[-1]
    return np.concatenate(parts)


class FeatureStore:
    """Features of a corpus that may still grow.

    Parameters
    ----------
    corpus
        Folder with ``songs/NNNNN.flac`` and ``NNNNN.json``.
    out
        Folder of the features.
    """

    def __init__(self, corpus: Path, out: Path) -> None:
        self._songs, self._out = corpus / "songs", out
        self._ready: dict[str, dict[str, tuple[Packed, list[Any]]]] = {}
        self._seen: set[str] = set()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="features", daemon=True)
        out.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Begin to look for songs in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; waits for the song in hand."""
        self._stop.set()
        self._thread.join()

    def songs(self, split: str) -> list[Packed]:
        """Return the songs of a split that are ready, in order of their names: uint8, (frames,
        3 * BANDS + 2 * TURNS) each.

        Raises
        ------
        RuntimeError
            If a song could not be read; the cause is attached.
        """
        return [packed for packed, _ in self._whole(split)]

    def notes(self, split: str) -> list[list[Any]]:
        """Return of the same songs the notes, rows of their labels; raises as :meth:`songs` does."""
        return [notes for _, notes in self._whole(split)]

    def _whole(self, split: str) -> list[tuple[Packed, list[Any]]]:
        if self._failure is not None:
            raise RuntimeError(f"corpus in {self._songs} cannot be read: {self._failure}") from self._failure
        songs = self._ready.get(split, {})
        return [songs[name] for name in sorted(songs)]

    def _follow(self) -> None:
        try:
            while not self._stop.is_set():
                new = sorted(path for path in self._songs.glob("*.json") if path.stem not in self._seen)
                for path in new:
                    self._add(path)
                    if self._stop.is_set():
                        return
                self._stop.wait(5)
        except Exception as failure:  # handed to the training thread by songs()
            self._failure = failure

    def _add(self, label: Path) -> None:
        labels = json.loads(label.read_text())
        split = str(labels["split"])
        cached = self._out / f"{label.stem}.npy"
        if not cached.is_file() or np.load(cached, mmap_mode="r").shape[1] != _COLUMNS:  # of an earlier codec
            partial = self._out / f"{label.stem}.{os.getpid()}.part"
            with partial.open("wb") as file:
                np.save(file, _pack(label.with_suffix(".flac")))
            os.replace(partial, cached)
        songs = dict(self._ready.get(split, {}))
        songs[label.stem] = np.load(cached, mmap_mode="r"), labels["notes"]
        self._ready[split] = songs
        self._seen.add(label.stem)
