"""The likeness that the codec learns by: 1 for the same sound, less the more its levels go other ways."""

import numpy as np
import pytest

from jackdaw.engine.models.tiny_spectrum import BANDS, RATE, analyse_init, analyse_step
from jackdaw.engine.training._codec_likeness import likeness

SECONDS = 3


def mid_of(mono: np.ndarray) -> np.ndarray:
    stereo = np.repeat(mono[:, None], 2, axis=1).astype(np.float32)
    return analyse_step(analyse_init(), stereo)[1][:, 2]


def music() -> np.ndarray:
    """Decaying chords and noise bursts."""
    rng, time = np.random.default_rng(0), np.arange(SECONDS * RATE) / RATE
    sound = np.zeros(len(time))
    for start in np.arange(0, SECONDS, 0.5):
        age = np.clip(time - start, 0, None)
        for pitch in rng.choice([110, 131, 165, 220, 262, 330, 440], 3):
            sound += 0.1 * (age > 0) * np.exp(-5 * age) * np.sin(2 * np.pi * pitch * age)
        sound += 0.1 * (age > 0) * np.exp(-30 * age) * rng.normal(size=len(time))
    return sound


def test_it_falls_with_what_is_done_to_a_sound() -> None:
    rng, clean = np.random.default_rng(1), music()
    noise = rng.normal(size=len(clean))
    kinds = [clean, *(clean + level * noise for level in (1e-4, 1e-3, 1e-2)), noise]
    scores = [float(likeness(mid_of(clean), mid_of(kind))) for kind in kinds]
    assert scores[0] == pytest.approx(1.0, abs=1e-3)
    assert scores == sorted(scores, reverse=True)
    assert scores[1] > 0.6
    assert scores[-1] < 0.4


def test_silence_is_like_silence_and_not_like_music() -> None:
    silence, bands = np.zeros((100, BANDS), np.float32), mid_of(music())[:100]
    assert float(likeness(silence, silence)) == pytest.approx(1.0)
    assert float(likeness(silence, bands)) < 0.5
