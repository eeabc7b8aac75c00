"""Turn the corpus into codes, once.

Reads the songs and writes ``OUT/NNNNN.npy``, int16 codes of shape (1 or 3, frames, levels), 25 frames a second: of the
mix, and, where there are several parts, of some of them (heard) and of the others (played), as ``NNNNN.json`` names
them. Frames of the heard parts that are below the gate of the ear are NOTHING. Each file is whole or not there; songs
that are there are kept, so a stopped run continues. ``OUT/codec.txt`` holds the digest of the codec that made them;
another codec is refused, since its codes would mean something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jackdaw.engine.models.tiny import GATE_DB
from jackdaw.engine.models.tiny_codec import encode_init, encode_latent, quantise
from jackdaw.engine.models.tiny_lm import NOTHING
from jackdaw.engine.models.tiny_spectrum import RATE, TOKEN_SAMPLES, analyse_init, analyse_step
from jackdaw.engine.training._parts import PARTS
from jackdaw.engine.weights.tensors import read_tree

__all__ = ["divided", "sounds", "tokenise", "tokenise_corpus"]

_CHUNK = 100
"""Token frames that are encoded at a time."""


@jax.jit
def _encode(params: Mapping[str, Any], state: Any, bands: jax.Array) -> tuple[Any, jax.Array]:
    state, latent = encode_latent(params, state, bands)
    return state, quantise(params["codebooks"], latent)


def divided(labels: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the parts of a song that are heard, one or two, and those that are played to them; none if it has one."""
    draw, parts = np.random.default_rng([labels["seed"], 6, labels["index"]]), list(labels["parts"])
    if len(parts) < 2:
        return [], []
    count = 2 if len(parts) > 2 and draw.random() < 0.4 else 1
    heard = sorted(str(name) for name in draw.choice(parts, count, replace=False))
    return heard, [name for name in parts if name not in heard]


def sounds(path: Path) -> tuple[list[NDArray[np.float32]], dict[str, list[str]]]:
    """Read a song: the mix, and if it is divided what is heard and what is played, and the names of the parts.

    Raises
    ------
    ValueError
        If the sound is not stereo at 48 kHz.
    """
    audio, rate = soundfile.read(path.with_suffix(".flac"), dtype="float32", always_2d=True)
    if rate != RATE or audio.shape[1] != 2:
        raise ValueError(f"{path} has {rate} Hz and {audio.shape[1]} channels: the corpus must have {RATE} Hz and 2")
    heard, played = divided(json.loads(path.read_text()))
    if not heard:
        return [audio], {"heard": [], "played": []}
    stems, _ = soundfile.read(path.with_suffix(".stems.flac"), dtype="float32")
    chosen = np.zeros_like(audio)
    for name in heard:
        at = 2 * PARTS.index(name)
        chosen += stems[:, at : at + 2]
    return [audio, chosen, audio - chosen], {"heard": heard, "played": played}


def tokenise(params: Mapping[str, Any], audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Encode stereo sound at 48 kHz into int16 codes (frames, levels)."""
    frames, size = len(audio) // TOKEN_SAMPLES, _CHUNK * TOKEN_SAMPLES
    padded = np.zeros((-(-frames // _CHUNK) * size, 2), np.float32)
    padded[: frames * TOKEN_SAMPLES] = audio[: frames * TOKEN_SAMPLES]
    ear, state, parts = analyse_init(), encode_init(), []
    for start in range(0, len(padded), size):
        ear, bands, _ = analyse_step(ear, padded[start : start + size])
        state, codes = _encode(params, state, bands)
        parts.append(np.asarray(codes, dtype=np.int16))
    return np.concatenate(parts)[:frames]


def _song(params: Mapping[str, Any], path: Path) -> tuple[NDArray[np.int16], dict[str, list[str]]]:
    streams, names = sounds(path)
    codes = np.stack([tokenise(params, audio) for audio in streams])
    if len(codes) > 1:
        frames = streams[1][: codes.shape[1] * TOKEN_SAMPLES].reshape(codes.shape[1], -1)
        codes[1, np.sqrt(np.mean(frames**2, axis=1)) <= 10 ** (GATE_DB / 20)] = NOTHING
    return codes, names


def tokenise_corpus(corpus: Path, codec: Path, out: Path) -> int:
    """Tokenise every song that is not tokenised yet; return how many songs there are.

    Raises
    ------
    FileNotFoundError
        If there are no songs or no codec.
    ValueError
        If the folder holds tokens of another codec, or a song has another rate.
    """
    tree, _ = read_tree(codec)
    params = jax.tree.map(jnp.asarray, tree)
    songs = sorted((corpus / "songs").glob("[0-9]*.json"))
    if not songs:
        raise FileNotFoundError(f"no songs in {corpus / 'songs'}: make a corpus first")
    out.mkdir(parents=True, exist_ok=True)
    digest, mark = hashlib.sha256(codec.read_bytes()).hexdigest(), out / "codec.txt"
    if mark.exists() and mark.read_text() != digest:
        raise ValueError(f"{out} holds tokens of another codec than {codec}: choose another --out")
    mark.write_text(digest)
    waiting = [path for path in songs if not (out / f"{path.stem}.npy").exists()]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar, ThreadPoolExecutor(2) as pool:
        task = bar.add_task("tokens", total=len(waiting))
        for path, (codes, names) in zip(waiting, pool.map(partial(_song, params), waiting), strict=True):
            (out / f"{path.stem}.json").write_text(json.dumps(names))
            part = out / f"{path.stem}.part"
            with part.open("wb") as file:
                np.save(file, codes)
            part.replace(out / f"{path.stem}.npy")
            bar.advance(task)
    return len(songs)
