"""Any English words become a style; near words are near; nonsense is answered."""

import numpy as np
import pytest

from jackdaw.engine.models.tiny_style import WordPieces, embed_text
from jackdaw.engine.weights.registry import MODELS
from jackdaw.engine.weights.tensors import read_tree

FOLDER = MODELS["tiny"].weight_files()[0].parent


@pytest.fixture(scope="module")
def embed():
    text = read_tree(FOLDER / "tiny_style.safetensors")[0]["text"]
    pieces = WordPieces((FOLDER / "tiny_style.vocab.txt").read_text(encoding="utf-8").splitlines())
    return lambda phrase: embed_text(text, pieces, phrase)


def nearest(embed, prompt, names):
    return max(names, key=lambda name: float(embed(name) @ embed(prompt)))


@pytest.mark.parametrize(
    "phrase", ["blues", "a", "Slow BLUES, with organ!", "café del mar", "1950s rock'n'roll", "xylophonist" * 3]
)
def test_every_phrase_is_a_point_on_the_sphere(embed, phrase):
    style = embed(phrase)
    assert style.shape == (128,)
    assert style.dtype == np.float32
    assert np.isclose(np.linalg.norm(style), 1.0, atol=1e-5)


def test_letters_case_and_accents_do_not_matter(embed):
    assert np.array_equal(embed("Bossa Nova"), embed("bossa nova"))
    assert np.array_equal(embed("séga"), embed("sega"))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("sad piano ballad", "piano ballad"),
        ("viennese ball", "viennese waltz"),
        ("samba party", "samba"),
        ("jazzy guitar", "jazz guitar"),
        ("disco dance floor", "disco"),
        ("music for children to sleep", "lullaby"),
        ("dixieland band", "dixieland"),
    ],
)
def test_a_description_finds_its_style(embed, prompt, expected):
    names = ["piano ballad", "viennese waltz", "samba", "jazz guitar", "disco", "lullaby", "dixieland", "tango",
             "polka", "funk", "hymn", "march", "bluegrass"]  # fmt: skip
    assert nearest(embed, prompt, names) == expected


@pytest.mark.parametrize("phrase", ["", "   ", "\n"])
def test_an_empty_prompt_is_answered(embed, phrase):
    with pytest.raises(ValueError, match="empty"):
        embed(phrase)


def test_a_prompt_without_known_words_is_answered(embed):
    with pytest.raises(ValueError, match="no word"):
        embed("東京")


def test_words_are_split_longest_piece_first():
    pieces = WordPieces(["blue", "blues", "##s", "##grass", "!", "s"])
    assert pieces("Bluegrass, blues! BLUÉS") == [0, 3, 1, 4, 1]
    assert pieces("bluex") == []


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("charlie parker", "bebop"),
        ("oktoberfest", "polka"),
        ("heavy guitars and double kick", "metal"),
        ("jamaican roots with echo", "reggae"),
        ("astronaut drifting through space", "ambient"),
        ("johnny cash on the ranch", "country music"),
        ("slow dance at the wedding", "ballad"),
        ("sao paulo street carnival", "samba"),
    ],
)
def test_what_people_say_for_a_style_is_near_it(embed, prompt, style):
    names = ["bebop", "polka", "metal", "reggae", "ambient", "country music", "ballad", "samba", "techno", "waltz",
             "hip hop", "ragtime", "tango"]  # fmt: skip
    assert nearest(embed, prompt, names) == style
