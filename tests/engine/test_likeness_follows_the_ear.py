"""The likeness that the codec learns by: 1 for the same sound, less the more its levels go other ways."""

import jax
import numpy as np
import pytest

from jackdaw.engine.models.tiny_spectrum import BANDS, RATE, TURNS, analyse_init, analyse_step, turns_of_spectra
from jackdaw.engine.training._codec_likeness import likeness, semitone_error

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


def low_bins(pitches, cents=0.0):
    """Magnitudes and turns of mid's lowest bins of a chord of sines."""
    time = np.arange(RATE) / RATE
    chord = sum(np.sin(2 * np.pi * 440 * 2 ** ((p + cents / 100 - 69) / 12) * time + p) for p in pitches)
    stereo = np.repeat(0.1 * chord[:, None], 2, axis=1).astype(np.float32)
    _, bands, spectra = analyse_step(analyse_init(), stereo)
    return bands[4:, 2, :TURNS], turns_of_spectra(spectra[3], spectra[4:])


def arrows_of(turns):
    return np.stack([np.cos(turns), np.sin(turns)], axis=-2)


def test_semitones_of_the_same_are_right_and_another_chord_is_far():
    minor = (57, 60, 64)

    def error(pitches, cents=0.0):
        magnitudes, turns = low_bins(pitches, cents)
        return float(semitone_error(*low_bins(minor), magnitudes, arrows_of(turns)))

    assert error(minor) < 1e-3
    assert error(minor, cents=5.0) < 0.25 * min(error((57, 61, 64)), error((56, 60, 64)))


def test_turns_alone_can_make_semitones_wrong():
    magnitudes, turns = low_bins((45, 46))
    assert float(semitone_error(magnitudes, turns, magnitudes, arrows_of(np.zeros_like(turns)))) > 0.1


def test_arrows_without_a_direction_have_a_finite_slope():
    magnitudes, turns = low_bins((57, 60, 64))
    slope = jax.grad(lambda arrows: semitone_error(magnitudes, turns, magnitudes, arrows))(0.0 * arrows_of(turns))
    assert np.isfinite(slope).all()
