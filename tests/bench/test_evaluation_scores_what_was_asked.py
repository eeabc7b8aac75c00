"""The evaluation's scores know right from wrong, and it says what to do if judges, corpus or parts are missing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "eval"))
import clips
import material
import report
import scores
import study

from jackdaw.engine.weights.registry import load_model

ROOT = Path(__file__).resolve().parents[2]


def grid(bpm: float, seconds: float = 20.0, late: float = 0.0) -> list[float]:
    return list(np.arange(0, seconds, 60 / bpm) + late)


@pytest.mark.parametrize(
    ("heard", "verdict"),
    [(120, "right"), (124, "right"), (126, "wrong"), (240, "octave"), (60, "octave"), (62, "octave"), (180, "wrong")],
)
def test_a_tempo_is_right_within_four_percent_and_octaves_are_told_apart(heard: float, verdict: str) -> None:
    assert scores.tempo_verdict(grid(heard), 120) == verdict


def test_too_few_beats_have_no_tempo() -> None:
    assert scores.tempo_verdict([0.0, 0.5], 120) == "wrong"


def test_beats_are_off_by_as_much_as_they_are_late() -> None:
    assert np.median(scores.beat_offsets(grid(120, late=0.02), grid(120))) == pytest.approx(20)
    assert np.median(scores.beat_offsets(grid(120, late=-0.02)[1:], grid(120))) == pytest.approx(-20)
    assert scores.beat_offsets([], grid(120)).size == 0


TOLD = [(0.0, 2.0, 0, "maj7"), (2.0, 4.0, 9, "min"), (4.0, 6.0, 11, "hdim7")]


def test_chords_agree_by_time_and_what_has_no_triad_does_not_count() -> None:
    heard = [(0.0, 1.0, "C:maj"), (1.0, 2.0, "C:min"), (2.0, 6.0, "A:min")]
    assert scores.chord_agreement(TOLD, heard) == pytest.approx(0.75)
    assert scores.chord_agreement(TOLD, heard, roots=True) == pytest.approx(1.0)
    assert scores.chord_agreement(TOLD[2:], [(0.0, 6.0, "B:min")]) is None
    assert scores.chord_agreement(TOLD, []) is None


def test_chroma_on_the_chord_is_counted_after_the_beginning() -> None:
    chroma = np.zeros((40, 12))
    chroma[:20, [0, 6]] = 1.0  # half of it is in C major
    chroma[20:, [9, 0, 4]] = 1.0  # A minor, all of it
    assert scores.chord_share(TOLD, chroma) == pytest.approx((20 + 60) / (40 + 60))
    assert scores.chord_share(TOLD, chroma, after=2.0) == pytest.approx(1.0)
    assert scores.chord_share(TOLD, np.zeros((40, 12))) is None


def test_a_note_is_found_once_at_its_pitch_and_time() -> None:
    asked = [(0.0, 1.0, 60), (1.0, 2.0, 62)]
    assert scores.note_f1(asked, asked)["f1"] == 1.0
    assert scores.note_f1(asked, [(0.05, 1.0, 60), (0.06, 1.0, 60)]) == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert scores.note_f1(asked, [(0.2, 1.0, 60)])["f1"] == 0.0
    assert scores.note_f1(asked, [(0.0, 1.0, 72)])["f1"] == 0.0
    assert scores.note_f1(asked, [(0.0, 1.0, 72)], octaves=True)["recall"] == 0.5
    assert scores.note_f1(asked, [])["f1"] == 0.0


def test_a_gain_is_told_from_chance() -> None:
    rng = np.random.default_rng(0)
    deaf = rng.uniform(0.2, 0.4, 30)
    gain, p = scores.paired(deaf + rng.normal(0.1, 0.05, 30), deaf)
    assert gain == pytest.approx(0.1, abs=0.03)
    assert p < 0.001
    assert scores.paired(deaf + rng.normal(0, 0.05, 30), deaf)[1] > 0.01
    assert scores.paired(deaf - 0.1, deaf)[1] > 0.99
    assert scores.paired(deaf, deaf) == (0.0, 1.0)
    with pytest.raises(ValueError, match="pairs"):
        scores.paired([1.0], [])


def test_a_stuck_loop_and_a_throb_are_heard() -> None:
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal((48000 * 18, 2))).astype(np.float32)
    assert scores.repetition(noise) < 0.3
    assert scores.repetition(np.tile(noise[: 48000 * 2], (9, 1))) > 0.99
    time = np.arange(len(noise)) / 48000
    wave = np.repeat(rng.uniform(0.2, 1.0, 18), 48000)
    assert scores.pulse((noise * wave[:, None]).astype(np.float32)) < 0.05
    assert scores.pulse((noise * (1 + 0.8 * np.sin(2 * np.pi * 8 * time))[:, None]).astype(np.float32)) > 0.5


def test_codes_in_use_are_counted_by_level() -> None:
    assert scores.codes_used(np.array([[0, 1], [1, 1], [2, 1], [3, 1]]), 4) == [1.0, 0.25]


def test_a_clip_is_played_once_and_its_clock_is_exact(tmp_path: Path) -> None:
    model = load_model("beep")
    clip = clips.Clip(name="x", seconds=1.0, seed=0, prompt="any", bpm=97.3, beats_per_bar=3)
    path = clips.make(model, "one", clip, tmp_path, lambda _: None)
    stamp = path.stat().st_mtime_ns
    assert clips.make(model, "one", clip, tmp_path, lambda _: None).stat().st_mtime_ns == stamp
    other = clips.make(model, "two", clip, tmp_path, lambda _: None)
    assert other != path
    assert not path.exists()
    length = model.spec.step_seconds
    controls = clips._controls(clip, clips.Controls(), 25 * 0.04, length)
    assert controls.clock is not None
    assert controls.clock.beat == pytest.approx(1.0 * 97.3 / 60 % 3)
    assert controls.notes is None


def test_a_note_that_is_struck_again_is_let_go_between() -> None:
    clip = clips.Clip(name="x", seconds=1, seed=0, prompt="any", notes=((0.0, 0.2, 60), (0.2, 0.4, 60)))
    held = [clips._controls(clip, clips.Controls(), k * 0.04, 0.04).notes for k in range(10)]
    assert held[0] == {60}
    assert set() in held
    assert held[5] == {60}


def test_a_report_needs_nothing_else(tmp_path: Path) -> None:
    sound = clips.place(tmp_path / "a.flac", np.zeros((48000, 2), np.float32), 48000)
    finding = study.Finding(
        "T", "what", {"a": 0.5, "b": None}, [("row", 1.0, None)], [("h",), ("<x>",)], [b"png"], [("clip", sound)]
    )
    report.write_report(tmp_path / "report.html", "tiny", "about", "", {"tempo": finding})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "data:audio/ogg;base64," in page
    assert "&lt;x&gt;" in page
    assert "http" not in page


def test_without_judges_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="scripts/setup-judges"):
        study.need_judges(tmp_path / "python")
    with pytest.raises(FileNotFoundError, match=r"madmom.*setup-judges"):
        study.need_judges(Path(sys.executable))


def run(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "bench" / "eval" / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_without_judges_ends_with_the_reason(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__", "results"))
    done = run("--corpus", str(tmp_path), root=tmp_path)
    assert done.returncode == 1
    assert "scripts/setup-judges" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    done = run("--corpus", str(tmp_path), "--only", "tempo,smell")
    assert done.returncode == 2
    assert "smell" in done.stderr


def test_a_folder_without_songs_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="build one"):
        material.read_corpus(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"id": "00000", "split": "train"}) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no test songs"):
        material.read_corpus(tmp_path)
