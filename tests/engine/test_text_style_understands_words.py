"""Any English words become a style; near words are near; nonsense is answered."""

import numpy as np
import pytest

from jackdaw.engine.models.tiny_style import WordPieces, drawn_to, embed_text, names_one_of
from jackdaw.engine.weights.registry import MODELS, load_model
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


def test_a_name_is_found_word_by_word():
    names = ["bossa nova", "drum and bass", "cha-cha", "house"]
    for phrase in ("Bossa Nova", "solo flute, bossa nova", "a cha-cha, please", "DRUM and BASS!"):
        assert names_one_of(names, phrase)
    for phrase in ("bossa", "housework", "drums and bass", "nova bossa", ""):
        assert not names_one_of(names, phrase)


def test_what_is_drawn_lies_near_the_names_it_was_nearest_to():
    named = np.linalg.qr(np.random.default_rng(0).normal(size=(128, 3)))[0].T.astype(np.float32)
    rest = np.linalg.qr(np.vstack([named, np.ones(128)]).T)[0][:, 3].astype(np.float32)
    meant = (0.3 * named[1] + np.sqrt(1 - 0.09) * rest).astype(np.float32)
    drawn = drawn_to(named, meant)
    assert np.isclose(np.linalg.norm(drawn), 1.0, atol=1e-5)
    assert (named @ drawn).argmax() == 1
    assert named[1] @ drawn > 0.9
    assert abs(rest @ drawn) > 0.1  # something of its own is left


def test_the_model_draws_what_names_no_style(embed):
    model = load_model("tiny")
    assert np.array_equal(model.embed("solo flute, bossa nova"), embed("solo flute, bossa nova"))
    names = ["bossa nova", "samba", "son montuno", "polka", "metal", "techno", "hymn", "bluegrass", "lullaby"]
    for phrase, expected in (("sambadrome with feathers", "samba"), ("robots in a factory", "techno")):
        assert nearest(embed, phrase, names) == expected
        cosine = {name: float(embed(name) @ model.embed(phrase)) for name in names}
        assert max(cosine, key=cosine.__getitem__) == expected
        assert cosine[expected] > max(0.9, float(embed(expected) @ embed(phrase)))
