"""The bundled model as it ships: it loads from its weight files, makes sound, follows its prompts and its seed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jackdaw.engine.models.contract import Audio, Controls, Model
from jackdaw.engine.render import render
from jackdaw.engine.weights.registry import MODELS, load_model

SECONDS = 6


@pytest.fixture(scope="module")
def bundled() -> Model:
    return load_model("tiny")


def music(model: Model, prompt: str, seed: int = 0) -> Audio:
    samples = SECONDS * model.spec.sample_rate
    return np.concatenate(list(render(model, samples=samples, seed=seed, style=model.embed(prompt))))


def test_its_weights_are_there_and_small() -> None:
    files = MODELS["tiny"].weight_files()
    assert files
    assert all(path.is_file() for path in files)
    assert sum(path.stat().st_size for path in files) < 60e6


START = """
from pathlib import Path

import numpy as np

from jackdaw.engine.models.contract import Chord, Controls
from jackdaw.engine.weights.registry import load_model

model = load_model("tiny")
model.warm_up()
state = model.init(0)
controls = Controls(style=model.embed("bossa nova"), guidance=3.0, chord=Chord(root=0), notes=frozenset({60, 64}))
for _ in range(50):
    state, _ = model.step(state, controls, np.full((model.spec.step_samples, 2), 0.1, np.float32))
status = Path("/proc/self/status").read_text()
for name in ("VmHWM", "VmRSS"):
    print(int(status.split(name + ":")[1].split()[0]) // 1024)
"""


def test_a_start_takes_little_memory(tmp_path: Path) -> None:
    """Megabytes at the peak and afterwards, of a first start, which compiles, and of a second."""
    run, there = [sys.executable, "-c", START], {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    first, second = (
        [
            int(word)
            for word in subprocess.run(run, env=there, check=True, text=True, stdout=subprocess.PIPE).stdout.split()
        ]
        for _ in range(2)
    )
    assert first[0] < 700
    assert second[0] < 560
    assert max(first[1], second[1]) < 500


def test_it_makes_music_at_a_sane_level(bundled: Model) -> None:
    for prompt in ("disco funk", "slow blues", "bossa nova"):
        audio = music(bundled, prompt)
        level = 10 * np.log10(np.mean(np.square(audio[48000:], dtype=np.float64)))
        assert np.isfinite(audio).all()
        assert -40 < level < -6, prompt
        assert np.abs(audio).max() < 4
        blocks = audio[48000:].reshape(-1, 4800, 2).std(axis=(1, 2))
        assert np.mean(blocks > 1e-4) > 0.5  # it plays most of the time


def test_equal_seeds_are_equal_and_others_are_not(bundled: Model) -> None:
    one, again, other = (music(bundled, "disco funk", seed) for seed in (1, 1, 2))
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != other.tobytes()


def test_the_codec_keeps_what_the_music_sounds_like(bundled: Model) -> None:
    audio = music(bundled, "disco funk")
    _, tokens = bundled.encode(None, audio)
    _, decoded = bundled.decode(None, tokens)  # type: ignore[attr-defined]
    lag = bundled.spec.look_ahead
    before, after = (
        np.log(1e-3 + np.abs(np.fft.rfft(x.mean(axis=1).reshape(-1, 4800), axis=1))[:, :400])
        for x in (audio[: 280 * 1000 // 4800 * 4800], decoded[lag:][: 280 * 1000 // 4800 * 4800])
    )
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.7


def test_what_is_played_to_it_changes_what_it_plays(bundled: Model) -> None:
    style = bundled.embed("disco funk")
    loud = (0.3 * np.sin(2 * np.pi * 220 / 48000 * np.arange(1920)))[:, None].repeat(2, axis=1).astype(np.float32)
    alone, together = bundled.init(0), bundled.init(0)
    differs = 0
    for _ in range(25):
        alone, one = bundled.step(alone, Controls(style=style), None)
        together, two = bundled.step(together, Controls(style=style), loud)
        differs += not np.array_equal(one, two)
    assert differs > 15
