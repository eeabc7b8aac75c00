"""Make the style towers of the bundled model.

``jackdaw train style`` runs it. The text table is distilled from a sentence model, and its pieces learn which styles
they stand for; the audio tower is then trained to land where the captions of a song land. ``DIR/bands`` keeps the
songs' bands, so that a second run goes on, and ``DIR/styles`` gets a few embeddings of each song, which the training
of the language model reads. ``DIR/tiny_style.safetensors`` holds both towers, ``DIR/tiny_style.vocab.txt`` the
vocabulary, and ``DIR/tiny_usual.json`` how each family of styles is usually played: tempo, metre, drums, notes a
second.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import soundfile
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jackdaw.engine.models.tiny_style import (
    BAND_HOP,
    BANDS,
    SAMPLE_RATE,
    AudioTower,
    WordPieces,
    embed_bands,
    embed_text,
    mel_bands,
)
from jackdaw.engine.training._text_table import Teacher, distil, kept_pieces, music_phrases, quantise
from jackdaw.engine.training._votes import describe, glosses, learn_votes
from jackdaw.engine.weights.tensors import read_tree, write_tree

__all__ = ["make_table", "train_tower"]

_WEIGHTS, _VOCABULARY, _USUAL = "tiny_style.safetensors", "tiny_style.vocab.txt", "tiny_usual.json"
_FRAMES_PER_SECOND = SAMPLE_RATE // BAND_HOP


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"),
                    TimeRemainingColumn())  # fmt: skip


def make_table(out: Path, settings: dict[str, Any]) -> None:
    """Distil the text table, let it learn its votes, and write it with its vocabulary."""
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher()
    phrases = music_phrases(np.random.default_rng(0), settings["phrases"])
    vocabulary = kept_pieces(teacher.vocabulary)
    told = glosses(vocabulary)
    with _bar() as bar:
        total = len(vocabulary) + len(phrases) + len({text for texts in told.values() for text in texts})
        task = bar.add_task("words through the sentence model", total=total)

        def progress(count: int) -> None:
            bar.advance(task, count)

        table, rows = distil(
            teacher, vocabulary, phrases, steps=settings["fit_steps"], pull=settings["pull"], progress=progress
        )
        features = describe(teacher, vocabulary, rows, told, progress)
    learnt = learn_votes(vocabulary, table, features, decay=settings["vote_decay"], steps=settings["vote_steps"])
    (out / _VOCABULARY).write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    text: dict[str, NDArray[np.generic]] = {"groups": learnt["groups"].astype(np.float16)}
    text["table"], text["scale"] = quantise(table)
    text["votes"], text["vote_scale"] = quantise(learnt["votes"])
    write_tree(out / _WEIGHTS, {"text": text}, {"made_from": "all-MiniLM-L6-v2 (Apache-2.0), WordNet 3.0"})


_Heard = tuple[dict[str, Any], NDArray[np.float32]]
"""A song's labels and bands."""


def _song_bands(corpus: Path, cache: Path) -> list[_Heard]:
    """Labels and bands of every song; the bands are kept in the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    songs = []
    labels = sorted((corpus / "songs").glob("[0-9]*.json"))
    with _bar() as bar:
        for path in bar.track(labels, description="bands"):
            kept = cache / f"{path.stem}.npy"
            if not kept.exists():
                audio, rate = soundfile.read(path.with_suffix(".flac"), dtype="float32", always_2d=True)
                if rate != SAMPLE_RATE:
                    raise ValueError(f"{path.with_suffix('.flac')} has {rate} Hz; the corpus is made at {SAMPLE_RATE}")
                np.save(kept, mel_bands(audio).astype(np.float16))
            songs.append((json.loads(path.read_text()), np.load(kept).astype(np.float32)))
    if not songs:
        raise FileNotFoundError(f"no songs in {corpus / 'songs'}: make a corpus first")
    return songs


def _excerpt(bands: NDArray[np.float32], length: int, longest: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random excerpt, again relative to its loudest band, padded to `longest` frames."""
    start = int(rng.integers(max(1, len(bands) - length)))
    part = bands[start : start + length]
    out = np.zeros((longest, BANDS), np.float32)
    out[: len(part)] = np.maximum(part - part.max(), -1.0)
    return out


def train_tower(corpus: Path, out: Path, settings: dict[str, Any]) -> None:
    """Train the audio tower and embed the corpus with it."""
    tree, about = read_tree(out / _WEIGHTS)
    pieces = WordPieces((out / _VOCABULARY).read_text(encoding="utf-8").splitlines())
    songs = _song_bands(corpus, out / "bands")
    texts = [np.stack([embed_text(tree["text"], pieces, c) for c in labels["captions"]]) for labels, _ in songs]
    longest = settings["excerpt_seconds"] * _FRAMES_PER_SECOND
    rng = np.random.default_rng(0)
    tower = AudioTower()
    params = tower.init(jax.random.key(0), jnp.zeros((1, longest, BANDS)), jnp.ones((1, longest)))["params"]
    schedule = optax.cosine_decay_schedule(settings["learning_rate"], settings["tower_steps"])
    optimiser = optax.adamw(schedule, weight_decay=0.05)

    def loss(params: Any, bands: jax.Array, mask: jax.Array, text: jax.Array) -> jax.Array:
        heard = tower.apply({"params": params}, bands, mask)
        cosines = heard @ text.T
        # Captions that mean the same thing share the credit: the target is how alike the captions are.
        target = jax.nn.softmax(text @ text.T / settings["temperature"] * 2.0)
        contrast = -(target * jax.nn.log_softmax(cosines / settings["temperature"])).sum(axis=-1).mean()
        total: jax.Array = contrast + 3.0 * (1.0 - jnp.diagonal(cosines)).mean()
        return total

    @jax.jit
    def update(params: Any, state: Any, bands: jax.Array, mask: jax.Array, text: jax.Array) -> tuple[Any, Any, Any]:
        value, gradient = jax.value_and_grad(loss)(params, bands, mask, text)
        change, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, change), state, value

    training = [index for index, (labels, _) in enumerate(songs) if labels["split"] == "train"]
    state = optimiser.init(params)
    with _bar() as bar:
        task = bar.add_task("audio tower", total=settings["tower_steps"])
        for step in range(settings["tower_steps"]):
            chosen = rng.choice(training, settings["batch"], replace=len(training) < settings["batch"])
            length = int(rng.integers(_FRAMES_PER_SECOND, longest + 1))
            bands = np.stack([_excerpt(songs[i][1], length, longest, rng) for i in chosen])
            bands += rng.normal(0.0, 0.02, (len(chosen), 1, BANDS)).astype(np.float32)
            mask = np.tile((np.arange(longest) < length).astype(np.float32), (len(chosen), 1))
            text = np.stack([texts[i][rng.integers(len(texts[i]))] for i in chosen])
            params, state, value = update(params, state, bands, mask, text)
            bar.update(task, advance=1, description=f"audio tower, loss {float(value):.3f}" if step % 20 == 0 else None)
    tree["audio"] = jax.tree.map(np.asarray, params)
    narrow = jax.tree.map(lambda value: jnp.asarray(value, jnp.bfloat16), params)
    whole = ("table", "votes")
    exact = {name: leaf.astype(np.int8 if name in whole else np.float16) for name, leaf in tree["text"].items()}
    write_tree(out / _WEIGHTS, {"text": exact, "audio": narrow}, about)
    (out / _USUAL).write_text(json.dumps(_usual([songs[index][0] for index in training]), indent=2) + "\n")
    _report(songs, texts, tree["audio"], longest, settings, out)


def _density(labels: Mapping[str, Any]) -> float:
    """Median of the notes a second that begin in two seconds."""
    begins = np.sort([note[0] for note in labels["notes"]])
    middles = np.arange(1.0, max(float(begins[-1]) - 1.0, 1.5), 0.5)
    return float(np.median(np.searchsorted(begins, middles + 1) - np.searchsorted(begins, middles - 1))) / 2


def _usual(songs: list[dict[str, Any]]) -> dict[str, tuple[int, int, bool, float]]:
    """Return of each family the median tempo of its songs, and their commonest metre.

    Of those that a full band plays, also whether most have drums, and the median of their densities.
    """
    families = defaultdict(list)
    for labels in songs:
        families[labels["family"]].append(labels)
    found = {}
    for name, mine in sorted(families.items()):
        full = [labels for labels in mine if labels["version"] == "full"] or mine
        found[name] = (
            round(float(np.median([labels["tempo_bpm"] for labels in mine]))),
            Counter(labels["beats_per_bar"] for labels in mine).most_common(1)[0][0],
            2 * sum("drums" in labels["parts"] for labels in full) >= len(full),
            round(float(np.median([_density(labels) for labels in full])), 1),
        )
    return found


def _report(
    songs: list[_Heard], texts: list[NDArray[np.float32]], params: Any, longest: int, settings: dict[str, Any],
    out: Path,
) -> None:  # fmt: skip
    """Write the songs' embeddings, and print how often audio finds its family and group among all names."""
    (out / "styles").mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    names = {labels["family"]: (texts[i][0], labels["style_group"]) for i, (labels, _) in enumerate(songs)}
    families, points = list(names), np.stack([names[name][0] for name in names])
    hits: dict[str, list[tuple[bool, bool, float]]] = {}
    for index, (labels, bands) in enumerate(songs):
        count = settings["excerpts"]
        styles = np.stack([embed_bands(params, _excerpt(bands, longest, longest, rng)) for _ in range(count)])
        np.save(out / "styles" / f"{labels['id']}.npy", styles)
        best = families[int(np.argmax(points @ styles[0]))]
        kind = labels["split"] + (f", new {labels['held_out']}" if labels.get("held_out") else "")
        cosine = float((texts[index] @ styles[0]).mean())
        hits.setdefault(kind, []).append((best == labels["family"], names[best][1] == labels["style_group"], cosine))
    for kind, rows in sorted(hits.items()):
        family, group, cosine = np.mean(np.array(rows, dtype=np.float64), axis=0)
        print(f"{kind}: {len(rows)} songs, family {family:.2f}, group {group:.2f}, cosine to captions {cosine:.2f}")
