"""The bundled model plays the harmony that it is asked for, judged by the energy of pitch classes in its sound."""

import numpy as np
import pytest

from jackdaw.engine.models.contract import CHORD_TONES, Chord, Clock, Controls
from jackdaw.engine.weights.registry import load_model

STEPS, RATE = 150, 48000


def chroma(audio):
    """Share of each pitch class, C first, of the energy from 110 to 1760 Hz."""
    size = 16384
    frames = audio.mean(axis=1)[: len(audio) // size * size].reshape(-1, size) * np.hanning(size)
    power = (np.abs(np.fft.rfft(frames)) ** 2).sum(axis=0)
    frequency = np.arange(1, len(power)) * RATE / size
    pitch = 69 + 12 * np.log2(frequency / 440.0)
    heard = (frequency > 110) & (frequency < 1760)
    found = np.bincount(np.rint(pitch[heard]).astype(int) % 12, power[1:][heard], 12)
    return found / found.sum()


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


@pytest.fixture(scope="module")
def played(tiny):
    """What is played to chords a tritone apart, after two seconds; of three seeds, as each plays other music."""
    style, out = tiny.embed("bossa nova"), {}
    for root in (0, 6):
        found = []
        for seed in (1, 2, 3):
            state, pieces = tiny.init(seed), []
            for step in range(STEPS):
                clock = Clock(bpm=120.0, beat=step * 0.08 % 4)
                controls = Controls(style=style, clock=clock, chord=Chord(root=root, quality="maj"))
                state, audio = tiny.step(state, controls, None)
                pieces.append(audio)
            found.append(chroma(np.concatenate(pieces[50:])))
        out[root] = np.mean(found, axis=0)
    return out


@pytest.mark.parametrize("root", [0, 6])
def test_the_tones_of_the_asked_chord_are_the_loudest(played, root):
    tones = [(root + tone) % 12 for tone in CHORD_TONES["maj"]]
    strange = [(root + 6 + tone) % 12 for tone in CHORD_TONES["maj"]]
    assert played[root][tones].sum() > 2 * played[root][strange].sum()
    assert played[root][tones].sum() > 0.4
