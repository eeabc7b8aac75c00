"""Votes of word pieces: which groups of styles each of them speaks for.

A sentence model knows that "havana" is like "cuba", seldom which music is meant. So each piece gets a vote for every
group: a softmax regression over sums of pieces, as the text tower adds them, learns what people say for a style
(:mod:`jackdaw.engine.training._lexicon`). Pieces are described by the sentence model's vectors of the piece itself
and of what WordNet 3.0 says of the word (Debian package ``wordnet-base``, WordNet licence), so that words that nobody
listed vote as their neighbours do: "vienna" is "the capital of Austria". Listed pieces also have a feature each of
their own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from jackdaw.engine.models.tiny_style import WordPieces
from jackdaw.engine.training._lexicon import meanings
from jackdaw.engine.training._styles import GROUPS, STYLES
from jackdaw.engine.training._text_table import MOODS, SOUNDS, Teacher, rarity

__all__ = ["GROUP_NAMES", "describe", "glosses", "learn_votes", "named"]

_WORDNET = Path("/usr/share/wordnet")
_SENSES, _NAMES, _LONGEST = 3, 6, 160
_OWN = 10.0
"""Size of the feature that is a listed piece's own; the median length of what describes a piece is 9.2."""
_FIRMNESS, _PULL = 2.0, 1.5
"""How much surer the votes are than the regression, which holds back; and how far a group draws a phrase of length 1.

With 1 and 1 the nearest name of a style is of the right group for 0.48 of the sayings that were left out of learning,
at a cosine of 0.50; with these for 0.53, at 0.77.
"""
_QUOTED = re.compile(r'"[^"]*"')

GROUP_NAMES = tuple(sorted(GROUPS))
"""Order of the votes."""

Floats = NDArray[np.float32]


def named() -> list[tuple[str, int]]:
    """Names of families and groups, each with the place of its group."""
    families = {(style.family, style.group) for style in STYLES}
    names = families | {(name, group) for group, about in GROUPS.items() for name in about.names}
    return sorted((name, GROUP_NAMES.index(group)) for name, group in names)


def glosses(vocabulary: Sequence[str], folder: Path = _WORDNET) -> dict[str, list[str]]:
    """What WordNet says of words of a vocabulary: their first senses, and names that few others share a word with.

    Raises
    ------
    FileNotFoundError
        If WordNet isn't installed.
    """
    single: dict[str, list[str]] = defaultdict(list)
    within: dict[str, list[str]] = defaultdict(list)
    for kind in ("noun", "adj", "verb"):
        path = folder / f"data.{kind}"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: apt-get install wordnet-base")
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):  # the licence
                continue
            head, said = line.split(" | ", 1)
            fields = head.split()
            lemmas = [fields[4 + 2 * i].lower().split("(")[0] for i in range(int(fields[3], 16))]
            names = ", ".join(lemma.replace("_", " ") for lemma in lemmas[:3])
            text = f"{names}: {_QUOTED.sub('', said).strip(' ;')[:_LONGEST]}"
            for lemma in lemmas:
                words = re.split("[_-]", lemma)
                for word in words:
                    (single if len(words) == 1 else within)[word].append(text)
    found = {}
    for piece in vocabulary:
        rare = within[piece] if len(within[piece]) <= _NAMES else []
        texts = list(dict.fromkeys([*single[piece][:_SENSES], *rare]))
        if piece.isalpha() and texts:
            found[piece] = texts
    return found


def describe(
    teacher: Teacher, vocabulary: Sequence[str], rows: Floats, told: Mapping[str, Sequence[str]],
    progress: Callable[[int], None] | None = None,
) -> Floats:  # fmt: skip
    """What is known of each piece, (pieces, 768): the teacher's vectors of itself and of its glosses, times its rarity.

    Parameters
    ----------
    teacher, vocabulary, rows
        The sentence model, the pieces, and its vectors of them, (pieces, 384).
    told
        As :func:`glosses` returns them.
    progress
        Called with the number of texts that the sentence model has read.
    """
    every = sorted({text for some in told.values() for text in some})
    said = dict(zip(every, teacher([teacher.pieces(text) for text in every], progress), strict=True))
    middle = np.mean(list(said.values()), axis=0)
    more = np.zeros_like(rows)
    for index, piece in enumerate(vocabulary):
        if piece in told:
            more[index] = np.mean([said[text] for text in told[piece]], axis=0) - middle
    return np.asarray(np.concatenate([rows - rows.mean(axis=0), more], axis=1) * rarity(len(rows)), np.float32)


def _examples(rng: np.random.Generator) -> list[tuple[str, int, float]]:
    """Phrases, the place of the group that each stands for, and how much it counts."""
    names = named()
    group_of = {**dict(names), **{name: place for place, name in enumerate(GROUP_NAMES)}}
    templates = ("{m} {x}", "{x} with {s}", "{m} {x} with {s}", "{x} music", "a {m} {x} tune", "{m} {n} {x}")
    rows = []
    for pairs, times in ((names, 6), ([(said, group_of[name]) for said, name in meanings()], 1)):
        for said, group in pairs:
            rows.append((said, group, 1.0))
            for _ in range(times):
                words = {"m": rng.choice(MOODS), "n": rng.choice(MOODS), "s": rng.choice(SOUNDS)}
                rows.append((str(rng.choice(templates)).format(x=said, **words), group, 0.5))
    return rows


def _regression(x: Floats, group: NDArray[np.int64], weight: Floats, decay: float, steps: int) -> Floats:
    """Softmax regression of weighted rows by L-BFGS; returns (features, groups)."""

    def loss(value: jax.Array) -> jax.Array:
        errors = optax.softmax_cross_entropy_with_integer_labels(x @ value, group)
        total: jax.Array = (weight * errors).sum() / weight.sum() + 0.5 * decay * (value**2).sum()
        return total

    solver = optax.lbfgs()
    again = optax.value_and_grad_from_state(loss)

    @jax.jit
    def step(value: jax.Array, state: optax.OptState) -> tuple[jax.Array, optax.OptState]:
        error, gradient = again(value, state=state)
        change, state = solver.update(gradient, state, value, value=error, grad=gradient, value_fn=loss)
        return optax.apply_updates(value, change), state

    value = jnp.zeros((x.shape[1], len(GROUP_NAMES)))
    state = solver.init(value)
    for _ in range(steps):
        value, state = step(value, state)
    return np.asarray(value)


def _directions(table: Floats, pieces: WordPieces) -> Floats:
    """Where each group's names lie from the middle of all groups, unit length; (groups, 128)."""
    sums = np.stack([table[pieces(name)].sum(axis=0) for name, _ in named()])
    units = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    member = np.array([group for _, group in named()])
    middles = np.stack([units[member == place].mean(axis=0) for place in range(len(GROUP_NAMES))])
    apart = middles - middles.mean(axis=0)
    return np.asarray(apart / np.linalg.norm(apart, axis=1, keepdims=True), np.float32)


def learn_votes(
    vocabulary: Sequence[str], table: Floats, features: Floats, *, decay: float, steps: int
) -> dict[str, Floats]:
    """Learn the votes.

    Parameters
    ----------
    vocabulary, table
        The pieces and their rows, (pieces, 128), as :func:`._text_table.distil` makes them.
    features
        As :func:`describe` returns them.
    decay, steps
        Of the regression.

    Returns
    -------
    dict
        ``votes`` (pieces, groups): what a piece adds to the logit of each group, over the length of the sum of rows.
        ``groups`` (groups, 128): where a group lies from the middle of all, as long as it draws.
    """
    pieces = WordPieces(vocabulary)
    phrases = _examples(np.random.default_rng(0))
    rows = [pieces(phrase) for phrase, _, _ in phrases]
    listed, places = np.unique(np.concatenate(rows), return_inverse=True)
    own = np.zeros((len(rows), len(listed)), np.float32)
    np.add.at(own, (np.repeat(np.arange(len(rows)), [len(row) for row in rows]), places), _OWN)
    sums = np.concatenate([np.stack([features[row].sum(axis=0) for row in rows]), own], axis=1)
    lengths = np.array([np.linalg.norm(table[row].sum(axis=0)) for row in rows], np.float32)
    x = np.asarray(sums / lengths[:, None], np.float32)
    groups = np.array([group for _, group, _ in phrases])
    solved = _regression(x, groups, np.array([w for _, _, w in phrases], np.float32), decay, steps)
    votes = features @ solved[: features.shape[1]]
    votes[listed] += _OWN * solved[features.shape[1] :]
    return {"votes": _FIRMNESS * votes, "groups": _PULL * _directions(table, pieces)}
