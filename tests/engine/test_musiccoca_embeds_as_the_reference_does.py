"""MusicCoCa, from files of the official names, makes of words and sound what the reference makes of the same files.

The files are stand-ins (`musiccoca_standins`): the real ones cannot be had here. What is tested is the way into the
networks and out of them, not what real ones say.
"""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from mrt2_models import GOLDENS
from musiccoca_standins import CLIP, PROMPTS, SIZE, sound, write_standins

from jackdaw.engine.models.musiccoca import MusicCoCa, clips, text_inputs
from jackdaw.engine.prompts import blend
from jackdaw.engine.runtime.litert import FILES, Graph, load_musiccoca

GOLDEN = dict(np.load(GOLDENS / "musiccoca.npz"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("musiccoca")
    write_standins(path)
    (path / "spm.model").write_bytes(GOLDEN["vocabulary"].tobytes())  # trainers of other versions make other ids
    return path


@pytest.fixture(scope="module")
def styles(folder: Path) -> MusicCoCa:
    return load_musiccoca(folder)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_words_are_embedded_as_the_reference_does(folder: Path, styles: MusicCoCa) -> None:
    plain = load_musiccoca(folder, mapped=False)
    for index, prompt in enumerate(PROMPTS):
        np.testing.assert_allclose(plain.embed(prompt), unit(GOLDEN["words"])[index], atol=1e-6)
        np.testing.assert_allclose(styles.embed(prompt), GOLDEN["mapped"][index], atol=1e-6)
        np.testing.assert_allclose(styles.embed(prompt, seed=3), GOLDEN["mapped_3"][index], atol=1e-6)


def test_sound_is_embedded_as_the_reference_does(styles: MusicCoCa) -> None:
    np.testing.assert_allclose(styles.embed(sound()), unit(GOLDEN["sound"]), atol=2e-4)  # another resampler


def test_tokens_are_those_of_the_reference(styles: MusicCoCa) -> None:
    for embedding, tokens in zip(GOLDEN["mapped"], GOLDEN["mapped_tokens"], strict=True):
        np.testing.assert_array_equal(styles.tokenise(embedding), tokens)
    found = styles.tokenise(unit(GOLDEN["sound"]).astype(np.float32))
    np.testing.assert_array_equal(found, GOLDEN["sound_tokens"])
    assert (found.shape, found.dtype) == ((12,), np.int32)


def test_styles_are_unit_vectors_and_so_are_blends(styles: MusicCoCa) -> None:
    made = [styles.embed("disco"), styles.embed("Slow Blues"), styles.embed(sound())]
    for style in (*made, blend(made, [0.5, 0.25, 0.25])):
        assert style.dtype == np.float32
        assert np.linalg.norm(style) == pytest.approx(1.0, abs=1e-6)
    mean = 0.5 * made[0] + 0.25 * made[1] + 0.25 * made[2]
    np.testing.assert_allclose(blend(made, [2.0, 1.0, 1.0]), unit(mean), atol=1e-6)  # weights count once


def test_text_is_cut_and_filled_to_128_ids() -> None:
    ids, paddings = text_inputs([5, 6])
    assert ids[:4].tolist() == [1, 5, 6, 0]
    assert (len(ids), paddings.sum(), paddings[:3].tolist()) == (128, 125.0, [0.0, 0.0, 0.0])
    ids, paddings = text_inputs(range(10, 300))
    assert (ids[0], ids[-1], paddings.any()) == (1, 136, np.False_)


@pytest.mark.parametrize(("samples", "count"), [(4800, 1), (480_000, 1), (480_003, 2), (1_440_000, 3)])
def test_sound_is_cut_into_clips_of_ten_seconds(samples: int, count: int) -> None:
    assert clips(np.zeros((samples, 2), np.float32)).shape == (count, CLIP)


def test_what_has_no_style_is_refused(styles: MusicCoCa) -> None:
    with pytest.raises(ValueError, match="is empty"):
        styles.embed("  ")
    with pytest.raises(ValueError, match=r"shorter than 0\.1 s"):
        styles.embed(np.ones((4799, 2), np.float32))
    with pytest.raises(ValueError, match="is silent"):
        styles.embed(np.zeros((48000, 2), np.float32))
    with pytest.raises(ValueError, match=r"has shape \(3,\)"):
        styles.tokenise(np.ones(3, np.float32))


def test_threads_may_share_it(styles: MusicCoCa) -> None:
    expected = [styles.embed(prompt) for prompt in PROMPTS]
    wrong: list[str] = []

    def ask(index: int) -> None:
        for _ in range(20):
            if not np.array_equal(styles.embed(PROMPTS[index]), expected[index]):
                wrong.append(PROMPTS[index])

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}, which MusicCoCa needs"):
        load_musiccoca(tmp_path / "copy")


def test_a_damaged_file_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "mapper.tflite").write_bytes(b"not a network at all")
    with pytest.raises(ValueError, match=r"mapper\.tflite can't be used"):
        load_musiccoca(tmp_path / "copy").embed("disco")
    (tmp_path / "copy" / "spm.model").write_bytes(b"no vocabulary")
    with pytest.raises(ValueError, match=r"spm\.model is no vocabulary"):
        load_musiccoca(tmp_path / "copy")


def test_a_file_of_another_network_is_told(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    shutil.copy(folder / "mapper.tflite", tmp_path / "copy" / "text_encoder.tflite")
    with pytest.raises(ValueError, match=r"text_encoder\.tflite wants 768 of float32 as 'embedding' and was given"):
        load_musiccoca(tmp_path / "copy").embed("disco")
    with pytest.raises(ValueError, match="takes fewer inputs"):
        Graph(folder / "pretrained_vector_quantizer.tflite")(*[np.ones(SIZE, np.float32)] * 2)
