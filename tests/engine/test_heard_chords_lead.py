"""Promise: a model that knows chords follows those that are played into it, by sound alone."""

import numpy as np
import pytest

from jackdaw.engine.models import tiny_harmony as harmony
from jackdaw.engine.models.contract import Audio, Chord, Controls
from jackdaw.engine.models.tiny import Tiny
from jackdaw.engine.render import render
from jackdaw.engine.weights.registry import load_model

RATE, STEP = 48000, 1920
TONES = {"maj": (0, 4, 7), "min": (0, 3, 7)}


def played(tones: tuple[float, ...], seconds: float, *, partials: int = 6, seed: int = 0) -> Audio:
    """Return tones (MIDI pitches) with partials in random phases, struck once a second."""
    rng, at = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros(len(at))
    for tone in tones:
        hertz = 440.0 * 2 ** ((tone - 69) / 12)
        for k in range(1, partials + 1):
            sound += np.sin(2 * np.pi * (hertz * k * at + rng.uniform())) / k**1.2
    sound *= np.exp(-2.0 * (at % 1.0))
    return np.repeat((0.05 * sound)[:, None], 2, axis=1).astype(np.float32)


def followed(audio: Audio) -> list[Chord | None]:
    state, found = harmony.init(), []
    for at in range(0, len(audio) - STEP + 1, STEP):
        state = harmony.listen(state, audio[at : at + STEP])
        found.append(harmony.standing(state))
    return found


@pytest.mark.parametrize("octave", [36, 48, 60])
@pytest.mark.parametrize("quality", ["maj", "min"])
@pytest.mark.parametrize("root", range(12))
def test_every_triad_is_recognised(root: int, quality: str, octave: int) -> None:
    tones = tuple(octave + root + tone for tone in TONES[quality])
    found = followed(played(tones, 1.5, seed=root))
    assert found[-1] == Chord(root=root, quality=quality)


@pytest.mark.parametrize("inversion", [1, 2])
def test_inversions_are_the_same_chord(inversion: int) -> None:
    tones = [60.0 + tone for tone in TONES["min"]]
    turned = tuple(tones[inversion:] + [tone + 12 for tone in tones[:inversion]])
    assert followed(played(turned, 1.5))[-1] == Chord(root=0, quality="min")


def test_a_change_is_followed_within_half_a_second() -> None:
    change = np.concatenate([played((48, 55, 64), 2.0), played((50, 57, 65), 2.0)])
    found = followed(change)
    assert found[49] == Chord(root=0, quality="maj")
    assert found.index(Chord(root=2, quality="min")) - 50 <= 12


def test_noise_and_drums_are_no_chords() -> None:
    rng = np.random.default_rng(1)
    at = np.arange(RATE * 3) / RATE
    drums = rng.normal(size=len(at)) * np.exp(-30.0 * (at % 0.25)) * 0.2
    for sound in (0.1 * rng.normal(size=len(at)), drums):
        both = np.repeat(sound[:, None], 2, axis=1).astype(np.float32)
        assert not any(followed(both))


def test_a_bass_alone_tells_the_root() -> None:
    """Roots and fifths, a bar each of A, D, E and A."""
    sound = [played((tone,), 0.5, partials=4) for root in (45, 50, 40, 45) for tone in (root, root + 7) * 2]
    found = followed(np.concatenate(sound))
    for bar, root in enumerate((9, 2, 4, 9)):
        rest = [None if chord is None else chord.root for chord in found[bar * 50 + 25 : bar * 50 + 50]]
        assert rest.count(root) > len(rest) / 2, (bar, rest)


def test_silence_lets_go_after_a_while() -> None:
    found = followed(np.concatenate([played((48, 52, 55), 2.0), np.zeros((RATE * 4, 2), np.float32)]))
    assert found[60] == Chord(root=0, quality="maj")
    assert found[-1] is None


def test_the_model_tells_what_it_hears_unless_it_is_not_to_follow(tiny: Tiny) -> None:
    chord, state, deaf = played((50, 53, 57), 2.0), tiny.init(1), tiny.init(1)
    for at in range(0, len(chord), STEP):
        state, _ = tiny.step(state, Controls(), chord[at : at + STEP])
        deaf, _ = tiny.step(deaf, Controls(follow=False), chord[at : at + STEP])
    assert tiny.heard_chord(state) == Chord(root=2, quality="min")
    assert tiny.heard_chord(deaf) is None


def share(audio: Audio, tones: list[int]) -> float:
    """Return how much of the pitch classes of music lies on some of them."""
    found = [harmony._classes(audio[at : at + 16320].mean(axis=1)) for at in range(0, len(audio) - 16320, 9600)]
    return float(np.mean([classes[tones].sum() / classes.sum() for classes in found]))


def test_the_bundled_model_plays_the_chord_that_it_hears() -> None:
    """F sharp major, as far from its own C as can be: a quarter of twelve tones by chance, drums included."""
    tiny = load_model("tiny")
    heard = played((54, 61, 66, 70), 8.0)
    styles = [tiny.embed(name) for name in ("piano ballad", "soft rock", "swing")]
    shares = np.zeros((6, 2))
    for take, follow in np.ndindex(shares.shape):
        pieces = render(
            tiny,
            samples=8 * RATE,
            seed=1 + take // 3,
            style=styles[take % 3],
            parameters={"follow": 1.0 - follow},
            heard=heard,
        )
        music = np.concatenate(list(pieces))[3 * RATE :]
        assert np.sqrt(np.mean(music**2)) > 0.01, "whoever is heard does not silence it"
        shares[take, follow] = share(music, [6, 10, 1])
    follows, deaf = shares.mean(axis=0)
    assert follows > max(deaf + 0.04, 0.27), shares
