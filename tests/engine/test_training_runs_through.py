"""``jackdaw train`` makes, from a corpus of two songs and in seconds, weights that play, and goes on where it stopped.

The songs are too few and the time too short for music: what is promised here is that every step runs, in this order.
"""

import importlib.resources
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from jackdaw.cli import main
from jackdaw.engine.models.contract import Chord, Controls
from jackdaw.engine.models.tiny_codec import CodecConfig
from jackdaw.engine.models.tiny_codec_io import TinyCodec
from jackdaw.engine.training import corpus
from jackdaw.engine.training._features import FeatureStore
from jackdaw.engine.weights.tensors import read_tree
from jackdaw.engine.weights.tiny import load_tiny

SETTINGS = """
[style]
tower_steps = 3
batch = 2
learning_rate = 1e-3
temperature = 0.1
excerpt_seconds = 5
excerpts = 2
[lm]
levels = 8
layers = 1
width = 64
heads = 4
depth_width = 192
depth_hidden = 64
window = 16
products = "bfloat16"
batch = 2
frames = 24
learning_rate = 1e-3
warm_up = 1
weight_decay = 0.05
clip = 1.0
dropout = 0.1
level_weights = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
drop_style = 0.15
drop_led = 0.2
drop_all = 0.1
drop_clock = 0.1
drop_chord = 0.1
accompany = 0.5
joins_late = 0.3
drop_chord_heard = 0.5
give_notes = 0.5
give_drums = 0.5
give_energy = 0.5
give_density = 0.5
audio_style = 0.5
style_noise = 0.25
foreign = 0.3
coarse = 0.3
scatter = 0.3
[codec]
batch = 2
token_frames = 8
patches = 1024
vectors = 4096
detail_vectors = 4096
reader_steps = 4
enough_seconds = 1.0
validation_songs = 1
validation_token_frames = 8
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "settings.toml").write_text(SETTINGS)
    corpus.build_corpus(folder / "corpus", hours=75 / 3600, seed=38)
    (folder / "style").mkdir()
    # the text table is distilled from a sentence model, which is not among what tests install
    weights = importlib.resources.files("jackdaw.engine.models") / "weights"
    for name in ("tiny_style.safetensors", "tiny_style.vocab.txt"):
        shutil.copy(str(weights / name), folder / "style" / name)
    for step, more in (("codec", ["--minutes", "0.02"]), ("style", []), ("lm", ["--minutes", "0.02"])):
        assert trained(folder, step, *more) == 0
    return folder


def trained(folder: Path, step: str, *more: str) -> int:
    return main(["train", step, "--run", str(folder), "--settings", str(folder / "settings.toml"), *more])


def test_what_was_trained_plays(run: Path, tmp_path: Path) -> None:
    for part in ("codec", "lm", "style"):
        shutil.copy(run / part / f"tiny_{part}.safetensors", tmp_path)
    for name in ("tiny_style.vocab.txt", "tiny_usual.json"):
        shutil.copy(run / "style" / name, tmp_path)
    tiny = load_tiny(tmp_path)
    state, audio = tiny.init(1), np.zeros(0)
    for _ in range(5):
        state, audio = tiny.step(state, Controls(style=tiny.embed("jazz"), chord=Chord(root=2)), None)
    assert audio.shape == (1920, 2)
    assert np.isfinite(audio).all()


def test_the_detail_tells_how_low_tones_swing(run: Path) -> None:
    tree, about = read_tree(run / "codec" / "tiny_codec.safetensors")
    codec = TinyCodec(tree, CodecConfig(**about["config"]))
    audio, rate = soundfile.read(sorted((run / "corpus" / "songs").glob("?????.flac"))[0], dtype="float32")
    audio, low = audio[: 4 * rate], butter(4, 1200, fs=rate, output="sos")
    codes = codec.encode(audio)
    sounds = audio, codec.decode(codes), codec.decode(codes[:, :8])
    swing = [sosfilt(low, sound[: len(audio)].mean(axis=1)) for sound in sounds]
    alike = [np.corrcoef(swing[0], other)[0, 1] for other in swing[1:]]
    assert alike[0] > 0.7
    assert alike[1] < 0.5 * alike[0]


def test_a_model_of_other_levels_goes_on(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From 8 levels to 6 and back again; other sizes are refused with a word of what is wrong."""
    weights, earlier = run / "lm" / "tiny_lm.safetensors", tmp_path / "earlier.safetensors"
    fewer = SETTINGS.replace("[lm]\nlevels = 8", "[lm]\nlevels = 6").replace("[1.0, 1.0, 1.0,", "[1.0,")
    for text, levels in ((fewer, 6), (SETTINGS, 8)):
        shutil.copy(weights, earlier)
        (tmp_path / "settings.toml").write_text(text)
        given = ["--run", str(run), "--settings", str(tmp_path / "settings.toml"), "--from", str(earlier)]
        assert main(["train", "lm", *given, "--minutes", "0.01"]) == 0
        before, _ = read_tree(earlier)
        after, about = read_tree(weights)
        assert about["config"]["levels"] == levels
        assert len(after["codes"]) == len(after["heads"]) == levels
        # what both have is nearly as it was, the step being small
        np.testing.assert_allclose(after["heads"][:6], before["heads"][:6], atol=0.05)
    (tmp_path / "settings.toml").write_text(SETTINGS.replace("width = 64\nheads", "width = 32\nheads"))
    assert main(["train", "lm", *given, "--minutes", "0.01"]) == 1
    assert "other sizes" in capsys.readouterr().err


def spent(folder: Path, step: str) -> tuple[int, float]:
    """Steps and seconds of a checkpoint."""
    tree, about = read_tree(folder / step / "checkpoint.safetensors")
    if step == "lm":
        return int(about["step"]), float(about["seconds"])
    return int(tree["step"]), float(tree["spent"])


def test_features_of_an_earlier_codec_are_made_anew(run: Path, tmp_path: Path) -> None:
    song = sorted((run / "codec" / "features").glob("*.npy"))[0]
    whole = np.load(song)
    np.save(tmp_path / song.name, whole[:, :-1])
    store = FeatureStore(run / "corpus", tmp_path)
    for label in (run / "corpus" / "songs").glob("*.json"):
        store._add(label)
    np.testing.assert_array_equal(np.load(tmp_path / song.name), whole)


@pytest.mark.parametrize("step", ["lm", "codec"])  # in this order: tokens are of the codec as it was
def test_a_stopped_training_goes_on(run: Path, step: str) -> None:
    steps, seconds = spent(run, step)
    assert trained(run, step, "--minutes", str(seconds / 60 + 0.02), "--resume") == 0
    more, longer = spent(run, step)
    assert more > steps > 0
    assert longer > seconds
