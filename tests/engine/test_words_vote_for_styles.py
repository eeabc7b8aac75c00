"""What WordNet says of a word is read; pieces learn to vote; no vote changes how long a style is."""

import numpy as np
import pytest

from jackdaw.engine.models.tiny_style import WordPieces, embed_text
from jackdaw.engine.training._lexicon import sayings
from jackdaw.engine.training._votes import GROUP_NAMES, _regression, glosses

NOUNS = """  1 This software and database is being provided to you, the LICENSEE
08712876 15 n 02 Buenos_Aires 0 capital_of_Argentina 0 001 @i 08691669 n 0000 | capital of Argentina; "a city of dance"
00532567 04 n 02 lindy 0 lindy_hop 0 001 @ 00532110 n 0000 | an energetic American dance
07041451 10 n 01 waltz 2 000 | music composed in triple time for waltzing
"""


@pytest.fixture
def wordnet(tmp_path):
    for kind, text in (("noun", NOUNS), ("adj", ""), ("verb", "")):
        (tmp_path / f"data.{kind}").write_text(text, encoding="utf-8")
    return tmp_path


def test_words_are_explained(wordnet):
    found = glosses(["waltz", "lindy", "aires", "##ltz", "xyz"], wordnet)
    assert found == {
        "waltz": ["waltz: music composed in triple time for waltzing"],
        "lindy": ["lindy, lindy hop: an energetic American dance"],
        "aires": ["buenos aires, capital of argentina: capital of Argentina"],
    }


def test_a_missing_dictionary_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install wordnet-base"):
        glosses(["waltz"], tmp_path)


def test_the_regression_tells_what_can_be_told():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(GROUP_NAMES), 40)).astype(np.float32)
    group = np.repeat(np.arange(len(GROUP_NAMES)), 8)
    x = centres[group] + 0.3 * rng.normal(size=(len(group), 40)).astype(np.float32)
    solved = _regression(x[::2], group[::2], np.ones(len(group) // 2, np.float32), 1e-3, 60)
    assert ((x[1::2] @ solved).argmax(axis=1) == group[1::2]).mean() > 0.95


def test_votes_draw_a_phrase_to_its_group():
    rng = np.random.default_rng(1)
    groups = np.linalg.qr(rng.normal(size=(128, 2)))[0].T.astype(np.float32)
    weights = {
        "table": rng.integers(-127, 128, (3, 128)).astype(np.int8), "scale": np.full(3, 0.01, np.float16),
        "votes": np.array([[127, -127], [-127, 127], [0, 0]], np.int8), "vote_scale": np.full(3, 1.0, np.float16),
        "groups": groups,
    }  # fmt: skip
    pieces = WordPieces(["one", "other", "neither"])
    styles = {word: embed_text(weights, pieces, word) for word in ("one", "other", "neither")}
    assert styles["one"] @ groups[0] > 0.5 > styles["one"] @ groups[1]
    assert styles["other"] @ groups[1] > 0.5 > styles["other"] @ groups[0]
    for style in styles.values():
        assert np.isclose(np.linalg.norm(style), 1.0, atol=1e-5)


@pytest.mark.parametrize(("family", "group"), [("bossa nova", "brazilian"), ("beguine", "latin"), ("funk", "funk")])
def test_every_style_has_other_words(family, group):
    said = sayings(family, group, 5, 2, np.random.default_rng(0))
    assert 5 <= len(said) <= 7
    assert said == sayings(family, group, 5, 2, np.random.default_rng(0))
