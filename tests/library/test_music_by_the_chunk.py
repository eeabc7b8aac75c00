"""The library: chunks fit together, styles blend, tokens decode; and the examples run."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jackdaw.audio
import jackdaw.system
from jackdaw import audio, system

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_chunks_fit_end_to_end() -> None:
    player = system.load("beep-ramp")
    state, chunks = None, []
    for _ in range(3):
        state, chunk = player.generate_chunk(state=state)
        assert chunk.duration == player.config.chunk_length
        chunks.append(chunk)
    music = audio.concatenate(chunks, crossfade_time=player.config.crossfade_length)
    assert np.array_equal(np.rint(music.samples[:, 0] * 2**24), 1 + np.arange(len(music)))
    assert state is not None
    assert state.chunks == 3


def test_equal_seeds_give_equal_chunks_and_states_are_values() -> None:
    player = system.load("beep")
    state, first = player.generate_chunk(seed=3)
    assert np.array_equal(first.samples, player.generate_chunk(seed=3)[1].samples)
    assert not np.array_equal(first.samples, player.generate_chunk(seed=4)[1].samples)
    second = player.generate_chunk(state=state)[1]
    assert np.array_equal(second.samples, player.generate_chunk(state=state)[1].samples)


def test_input_is_heard() -> None:
    player = system.load("beep-echo")
    noise = audio.Waveform((0.1 * np.random.default_rng(0).normal(size=(96000, 2))).astype(np.float32), 48000)
    _, chunk = player.generate_chunk(heard=noise)
    assert np.array_equal(chunk.samples, noise.samples)


def test_styles_blend_by_weight() -> None:
    player = system.load("beep")
    jam = audio.Waveform(np.sin(np.arange(44100) / 9).astype(np.float32), 44100)
    one, two = player.embed_style(jam), player.embed_style("heavy metal")
    blended = player.embed_style([(2.0, jam), (1.0, "heavy metal")])
    expected = 2 * one + two
    assert blended == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_tokens_survive_decoding() -> None:
    player = system.load("beep")
    rng = np.random.default_rng(0)
    tokens = rng.integers(300, player.config.codebook - 50, (25, player.config.levels)).astype(np.int32)
    again = player.decode(tokens)
    assert again.duration == pytest.approx(1.0)
    assert np.array_equal(player.encode(again), tokens)
    assert len(player.decode(tokens[:0])) == 0


def test_audio_of_any_length_and_rate_is_encoded() -> None:
    player = system.load("beep")
    odd = audio.Waveform(np.full(12345, 0.1, np.float32), 44100)
    assert player.encode(odd).shape == (-(-round(12345 * 48000 / 44100) // 1920), player.config.levels)


def test_unknown_models_are_named() -> None:
    with pytest.raises(ValueError, match="there are: tiny"):
        system.load("nix")
    assert {"tiny", "beep"} <= set(system.names())


def test_public_names() -> None:
    assert jackdaw.audio.__all__ == ["Waveform", "concatenate", "write_file"]
    assert jackdaw.system.__all__ == ["ChunkState", "Config", "System", "load", "names"]


@pytest.mark.parametrize("name", ["01_generate", "02_blend_styles", "03_codec"])
def test_examples_run(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out.wav"
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--model", "beep", "--out", str(out)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert re.search(r"wrote .*out\.wav", process.stdout)
    assert audio.Waveform.from_file(out).peak() > 0.01


def test_examples_read_a_users_file(tmp_path: Path) -> None:
    jam = tmp_path / "jam.wav"
    audio.Waveform((0.3 * np.sin(np.arange(2 * 44100) / 20)).astype(np.float32), 44100).write(jam)
    for name in ("02_blend_styles", "03_codec"):
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--model", "beep", "--audio", str(jam)]
        assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
