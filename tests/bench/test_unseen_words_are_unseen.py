"""Prompts that the evaluation calls unseen: their words stand in nothing that the model learned from."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "eval"))
from material import SYNONYMS

from jackdaw.engine.training import _captions, _styles, _text_table
from jackdaw.engine.training._lexicon import LEXICON, meanings
from jackdaw.engine.training._votes import GROUP_NAMES, named

SMALL = {"a", "an", "at", "for", "in", "is", "new", "no", "of", "on", "the", "to", "with"}


def words(text):
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def test_no_saying_uses_a_word_of_the_unseen_prompts():
    asked = set().union(*(words(prompt) for prompts in SYNONYMS.values() for prompt in prompts)) - SMALL
    described = words(" ".join([_text_table._GENRES, _text_table._MOODS, _text_table._SOUNDS]))
    for module in (
        _captions,
        _styles,
    ):  # captions name moods, instruments and styles, which may come up in prompts, too
        described |= words(Path(module.__file__).read_text(encoding="utf-8"))
    unseen = {word + ending for word in asked - described for ending in ("", "s", "es", "ed", "ing")}
    told = [said for said, _ in meanings() if words(said) & (unseen - described)]
    assert told == []
    assert {prompt for prompts in SYNONYMS.values() for prompt in prompts}.isdisjoint(said for said, _ in meanings())


def test_everything_said_stands_for_one_style_that_exists():
    known = {name for name, _ in named()} | set(GROUP_NAMES)
    assert set(LEXICON) <= known
    said = [said for said, _ in meanings()]
    assert len(said) == len(set(said)) > 2000
    assert all(text == text.strip().lower() and text for text in said)
