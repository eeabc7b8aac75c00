"""Tokenise the corpus once: ``python -m jackdaw.engine.training.tokens --corpus DIR --codec FILE --out DIR``.

Reads ``songs/NNNNN.flac`` and writes ``OUT/NNNNN.npy``, int16 codes of shape (frames, levels), 25 frames a second,
each whole or not there; songs that are there are kept, so a stopped run continues. ``OUT/codec.txt`` holds the digest
of the codec that made them; another codec is refused, since its codes would mean something else.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jackdaw.engine.models.tiny_codec import encode_init, encode_step
from jackdaw.engine.models.tiny_spectrum import FRAMES_PER_TOKEN, RATE, TOKEN_SAMPLES, analyse_init, analyse_step
from jackdaw.engine.training._features import unpack
from jackdaw.engine.weights.tensors import read_tree

__all__ = ["analyse", "kept_bands", "main", "tokenise", "tokenise_corpus"]

_CHUNK = 100
"""Token frames that are encoded at a time."""


@jax.jit
def _encode(params: Mapping[str, Any], state: Any, bands: jax.Array) -> tuple[Any, jax.Array]:
    return encode_step(params, state, bands)


def analyse(path: Path) -> tuple[int, list[NDArray[np.float32]]]:
    """Read a FLAC and return its whole token frames, and its bands in chunks, the last one padded with silence.

    Raises
    ------
    ValueError
        If it is not stereo at 48 kHz.
    """
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != RATE or audio.shape[1] != 2:
        raise ValueError(f"{path} has {rate} Hz and {audio.shape[1]} channels: the corpus must have {RATE} Hz and 2")
    frames, size = len(audio) // TOKEN_SAMPLES, _CHUNK * TOKEN_SAMPLES
    padded = np.zeros((-(-frames // _CHUNK) * size, 2), np.float32)
    padded[: frames * TOKEN_SAMPLES] = audio[: frames * TOKEN_SAMPLES]
    state, chunks = analyse_init(), []
    for start in range(0, len(padded), size):
        state, bands, _ = analyse_step(state, padded[start : start + size])
        chunks.append(bands)
    return frames, chunks


def kept_bands(path: Path) -> tuple[int, list[NDArray[np.float32]]]:
    """Return the same from the 8-bit bands that the codec's training kept, without a part of a second at the end."""
    packed = np.load(path)
    frames, size = len(packed) // FRAMES_PER_TOKEN, _CHUNK * FRAMES_PER_TOKEN
    padded = np.zeros((-(-frames // _CHUNK) * size, *packed.shape[1:]), np.uint8)
    padded[: frames * FRAMES_PER_TOKEN] = packed[: frames * FRAMES_PER_TOKEN]
    return frames, [np.asarray(unpack(jnp.asarray(padded[at : at + size]))) for at in range(0, len(padded), size)]


def tokenise(params: Mapping[str, Any], frames: int, chunks: list[NDArray[np.float32]]) -> NDArray[np.int16]:
    """Encode what :func:`analyse` gave into int16 codes (frames, levels)."""
    state, parts = encode_init(), []
    for bands in chunks:
        state, codes = _encode(params, state, bands)
        parts.append(np.asarray(codes, dtype=np.int16))
    return np.concatenate(parts)[:frames]


def tokenise_corpus(corpus: Path, codec: Path, out: Path, features: Path | None = None) -> int:
    """Tokenise every song that is not tokenised yet; return how many songs there are.

    Bands that lie in the folder `features` are not analysed again.

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

    def bands_of(path: Path) -> tuple[int, list[NDArray[np.float32]]]:
        kept = None if features is None else features / f"{path.stem}.npy"
        return kept_bands(kept) if kept is not None and kept.exists() else analyse(path.with_suffix(".flac"))

    waiting = [path for path in songs if not (out / f"{path.stem}.npy").exists()]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar, ThreadPoolExecutor(1) as ahead:
        task = bar.add_task("tokens", total=len(waiting))
        following = ahead.submit(bands_of, waiting[0]) if waiting else None
        for index, path in enumerate(waiting):
            assert following is not None
            frames, chunks = following.result()
            if index + 1 < len(waiting):
                following = ahead.submit(bands_of, waiting[index + 1])
            partial = out / f"{path.stem}.part"
            with partial.open("wb") as file:
                np.save(file, tokenise(params, frames, chunks))
            partial.replace(out / f"{path.stem}.npy")
            bar.advance(task)
    return len(songs)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Tokenise the corpus.")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--codec", type=Path, required=True, help="weights of the codec")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tokens")
    parser.add_argument("--features", type=Path, help="folder of the bands that the codec's training kept; quicker")
    arguments = parser.parse_args()
    count = tokenise_corpus(**vars(arguments))
    print(f"{count} songs are tokenised in {arguments.out}")


if __name__ == "__main__":
    main()
