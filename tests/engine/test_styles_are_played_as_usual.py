"""By itself, `tiny` plays a style as is usual, and is led by it; who says otherwise, or plays, is obeyed."""

import numpy as np
import pytest

from jackdaw.engine.models import tiny_lm as lm
from jackdaw.engine.models.contract import Chord, Controls
from jackdaw.engine.models.tiny import ALONE
from jackdaw.engine.weights.registry import load_model

BAND = slice(lm.CONDITION_SIZE - lm.BAND_DIMS, None)
STYLE = slice(0, lm.STYLE_DIMS)


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


def steer(tiny, controls, alone=ALONE):
    state = {**tiny.init(0), "alone": np.int32(alone)}
    return tiny._prepared(state, controls, None)[0]


def strokes(tiny, prompt, seed, steps=100):
    """How suddenly sound above 5 kHz begins, on average."""
    state, pieces = tiny.init(seed), []
    for _ in range(steps):
        state, audio = tiny.step(state, Controls(style=tiny.embed(prompt)), None)
        pieces.append(audio.mean(axis=1))
    frames = np.concatenate(pieces).reshape(-1, 480)
    power = (np.abs(np.fft.rfft(frames * np.hanning(480))) ** 2)[:, 50:].sum(axis=1)
    return float(np.maximum(0, np.diff(power)).mean())


def test_metal_has_drums_and_ambient_has_none(tiny):
    # medians of the songs it learnt from: 0.35 and 0.02; of ten clips: 0.43 and 0.065, one of them of noise
    metal, ambient = (np.median([strokes(tiny, prompt, 3 + n) for n in range(10)]) for prompt in ("metal", "ambient"))
    assert metal > 3 * ambient


@pytest.mark.parametrize("prompt", ["metal", "ambient"])
def test_drums_and_density_are_those_that_are_usual(tiny, prompt):
    style = tiny.embed(prompt)
    usual = tiny.usual(style)
    assert usual.drums is (prompt == "metal")
    np.testing.assert_array_equal(
        steer(tiny, Controls(style=style))["cond"][0][BAND], lm.band_features(usual.drums, None, usual.density)
    )


def test_knobs_are_obeyed(tiny):
    controls = Controls(style=tiny.embed("metal"), drums=False, density=1.0, energy=-30.0)
    np.testing.assert_array_equal(steer(tiny, controls)["cond"][0][BAND], lm.band_features(False, -30.0, 1.0))


def test_whoever_plays_is_not_told_how_it_is_usually_done(tiny):
    style = tiny.embed("metal")
    for controls, alone in ((Controls(style=style), 3), (Controls(style=style, notes=frozenset({60})), ALONE)):
        assert not steer(tiny, controls, alone)["cond"][0][BAND].any()


def test_the_style_leads_while_nobody_tells_the_harmony_and_no_longer(tiny):
    style = tiny.embed("metal")
    alone, told = (steer(tiny, Controls(style=style, chord=chord)) for chord in (None, Chord(root=2)))
    np.testing.assert_array_equal(alone["grip"], np.float32(lm.GRIP_ALONE))
    np.testing.assert_array_equal(told["grip"], np.float32(lm.GRIP))
    assert not alone["cond"][1].any()
    np.testing.assert_array_equal(told["cond"][1][STYLE], told["cond"][0][STYLE])
    assert not told["cond"][1][lm.STYLE_DIMS : lm.STYLE_DIMS + lm.LED_DIMS].any()
