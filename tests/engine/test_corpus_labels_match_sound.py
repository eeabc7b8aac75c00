"""The corpus promises: its labels are where the sound is, songs are reproducible, and a stopped build goes on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from jackdaw.engine.training import corpus
from jackdaw.engine.training._lm_data import _notes
from jackdaw.engine.training._mma import Event, Midi, Note
from jackdaw.engine.training._parts import PARTS
from jackdaw.engine.training._plan import plan_song
from jackdaw.engine.training._progressions import QUALITIES, labelled_chord
from jackdaw.engine.training._render import render
from jackdaw.engine.training._styles import GROUPS, STYLES

Sound = npt.NDArray[np.float64]
PITCHES = dict(QUALITIES.values())
SEED = 38  # one song by MMA, one by patterns, both with sounds that are installed for tests


def magnitudes(sound: Sound, size: int, hop: int) -> Sound:
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))


def onset_strength(sound: Sound, hop: int = 480) -> Sound:
    """Spectral flux, zero mean and unit variance; frame k is centred on sample k * hop."""
    size = 1024
    spectra = np.log(magnitudes(np.pad(sound, size // 2), size, hop) + 0.1)
    flux = np.maximum(0, np.diff(spectra, axis=0, prepend=spectra[:1])).sum(axis=1)
    return (flux - flux.mean()) / flux.std()


def chroma(sound: Sound) -> Sound:
    size = 16384
    spectrum = magnitudes(np.pad(sound, (0, max(0, size - len(sound)))), size, 4800).sum(axis=0)
    hertz = np.arange(len(spectrum)) * 48000 / size
    able = (hertz > 80) & (hertz < 1500)
    classes = np.round(69 + 12 * np.log2(hertz[able] / 440)).astype(int) % 12
    return np.bincount(classes, spectrum[able], 12)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    assert corpus.build_corpus(out, hours=75 / 3600, seed=SEED) == 2
    return out


def songs(out: Path) -> list[tuple[Sound, dict]]:
    found = []
    for path in sorted((out / "songs").glob("[0-9]*.json")):
        sound, rate = soundfile.read(path.with_suffix(".flac"))
        assert rate == 48000
        assert sound.shape[1] == 2
        found.append((sound, json.loads(path.read_text())))
    return found


def test_beats_fall_on_onsets(built: Path) -> None:
    for sound, labels in songs(built):
        strength = onset_strength(sound.mean(axis=1))

        def at(shift: float, beats: list[float] = labels["beats"], strength: Sound = strength) -> float:
            frames = np.round((np.array(beats[1:-1]) + shift) * 100).astype(int)
            return float(np.mean([strength[max(0, k - 1) : k + 2].max() for k in frames]))

        shifts = np.arange(-10, 11) / 100
        best = shifts[int(np.argmax([at(s) for s in shifts]))]
        assert abs(best) <= 0.02, f"{labels['family']}: beats sound {best * 1000:.0f} ms away from their labels"
        assert at(0.0) > 2.0


def test_chords_match_the_chroma(built: Path) -> None:
    for sound, labels in songs(built):
        mono, right = sound.mean(axis=1), []
        for start, end, root, quality in labels["chords"]:
            heard = chroma(mono[int((start + 0.05) * 48000) : int(end * 48000)])
            fits = [heard[[(r + p) % 12 for p in PITCHES[quality]]].sum() for r in range(12)]
            right.append(int(np.argmax(fits)) == root)
        assert np.mean(right) > 0.8, f"{labels['family']}: {np.mean(right):.2f} of chords on their labelled root"


def test_levels_lengths_and_fields(built: Path) -> None:
    for sound, labels in songs(built):
        assert -11.05 < 20 * np.log10(np.abs(sound).max()) < -2.95
        assert len(sound) / 48000 == pytest.approx(labels["duration_s"], abs=1e-4)
        assert 35 < labels["duration_s"] < 65
        assert 3 <= len(labels["captions"]) <= 8
        assert labels["captions"][0] == labels["family"]
        assert labels["downbeats"] == labels["beats"][:: labels["beats_per_bar"]]
        assert np.diff(labels["beats"]) == pytest.approx(60 / labels["tempo_bpm"], abs=1e-4)
        assert labels["soundfont"] != "TimGM6mb"  # that one is for testing alone
        frames = sound[: len(sound) // 1920 * 1920].reshape(-1, 2 * 1920)
        levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
        np.testing.assert_allclose(labels["energy_db"], np.maximum(levels, -99), atol=0.6)


def test_stems_add_up_to_the_mix_and_are_what_the_labels_say(built: Path) -> None:
    for path in sorted((built / "songs").glob("[0-9]*.json")):
        labels = json.loads(path.read_text())
        whole, _ = soundfile.read(path.with_suffix(".flac"), dtype="int16")
        stems, _ = soundfile.read(path.with_suffix(".stems.flac"), dtype="int16")
        stems = stems.reshape(len(whole), len(PARTS), 2).swapaxes(0, 1)
        np.testing.assert_array_equal(stems.sum(axis=0, dtype=np.int64), whole)
        assert [bool(stem.any()) for stem in stems] == [name in labels["parts"] for name in PARTS]
        assert {n[-1] for n in labels["notes"]} == set(labels["parts"])
        for name in labels["parts"]:
            begins = [n[0] for n in labels["notes"] if n[-1] == name]
            stem = np.abs(stems[PARTS.index(name)]).max(axis=1)
            assert stem[: max(0, int(48000 * (min(begins) - 0.01)))].max(initial=0) < 50, (
                f"{name} sounds before its first note"
            )


def test_parts_that_share_a_channel_keep_their_own_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A band may change the program of a channel in mid-song, from a bass (33) to a piano (0) here."""
    programs = [33] * 20 + [0] * 20
    notes = tuple(Note(0.5 * k, 0.5 * k + 0.4, 40 + k % 12, 1, program, 90) for k, program in enumerate(programs))
    events = (Event(0.0, 0xC0, 1, 33, 0), Event(9.9, 0xC0, 1, 0, 0))
    monkeypatch.setattr(corpus, "_performance", lambda plan, rng: Midi(notes, events, ((0.0, 0.0, 0.5),)))
    monkeypatch.setattr(corpus, "exchange_sounds", lambda midi, chance, rng: midi)
    monkeypatch.setattr(corpus, "_with_melody", lambda plan, midi, rng: (midi, None))
    monkeypatch.setattr(corpus, "choose_version", lambda parts, rng: ("full", tuple(bool(part) for part in parts)))
    labels = corpus.make_song(plan_song(SEED, 0))[1]
    assert [(row[3], row[4], row[-1]) for row in labels["notes"]] == [(1, 33, "bass")] * 20 + [(1, 0, "harmony")] * 20
    assert {part: len(rows) for part, rows in _notes(labels).items()} == {"bass": 20, "harmony": 20}


def test_a_note_has_its_own_sound_though_it_begins_before_the_change_of_program() -> None:
    """A loosened note may come a few ms before the event that sets its channel's program."""
    note = Note(0.496, 1.0, 60, 2, 48, 90)
    early, plain = (
        render([[note]], [Event(time, 0xC0, 2, 48, 0)], 1.5, "FluidR3_GM", 0.2, 0.1)[0] for time in (0.5, 0.0)
    )
    np.testing.assert_array_equal(early, plain)


def test_the_same_seed_makes_the_same_song(built: Path) -> None:
    stems, labels = corpus.make_song(plan_song(SEED, 0))
    stored, _ = soundfile.read(built / "songs" / "00000.stems.flac", dtype="int16")
    assert np.array_equal(np.concatenate(stems, axis=1), stored)
    assert json.loads(json.dumps(labels)) == json.loads((built / "songs" / "00000.json").read_text())


def test_a_stopped_build_goes_on(built: Path, tmp_path: Path) -> None:
    """With one song there and another half written, only what is missing is made, and it comes out the same."""
    target = tmp_path / "songs"
    target.mkdir()
    for name in ("00000.stems.flac", "00000.flac", "00000.json", "00001.flac"):
        (target / name).write_bytes((built / "songs" / name).read_bytes())
    kept = (target / "00000.flac").stat().st_mtime_ns
    corpus.build_corpus(tmp_path, hours=75 / 3600, seed=SEED)
    assert (target / "00000.flac").stat().st_mtime_ns == kept
    assert (target / "00001.json").read_bytes() == (built / "songs" / "00001.json").read_bytes()
    assert not list(target.glob(".*"))
    assert (tmp_path / "manifest.jsonl").read_text() == (built / "manifest.jsonl").read_text()
    with pytest.raises(ValueError, match="another --out or seed"):
        corpus.build_corpus(tmp_path, hours=75 / 3600, seed=SEED + 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_quality_of_chord_is_planned_on_every_root(seed: int) -> None:
    """Over 200 songs no root has less than a third of its share, and every quality is at least one chord in thirty."""
    qualities = ("maj", "min", "7", "maj7", "min7", "dim")
    counts = np.zeros((len(qualities), 12))
    for plan in (plan_song(seed, i) for i in range(200)):
        home = plan.bars[-1][0]
        assert home == (plan.tonic, "" if plan.progression.mode == "major" else "m")
        for root, kind in (chord for bar in plan.bars for chord in bar):
            counts[qualities.index(labelled_chord(root, QUALITIES[kind][0]).quality), root] += 1
    assert (counts.min(axis=1) >= counts.mean(axis=1) / 3).all(), f"{counts.astype(int)}"
    assert (counts.sum(axis=1) >= counts.sum() / 30).all(), f"{counts.sum(axis=1).astype(int)}"


def test_held_out_styles_and_progressions_stay_out_of_training() -> None:
    plans = [plan_song(SEED, i) for i in range(240)]
    trained = [p for p in plans if p.split == "train"]
    first = [p.style for p in trained[:42]]
    turns = Counter(style.group for style in first)
    assert set(turns) == set(GROUPS)
    assert (turns["waltz"], turns["latin"], turns["jazz"], turns["house"], turns["tango"]) == (3, 3, 2, 1, 1)
    assert len({style.file for style in first if style.group == "waltz"}) == 3
    seen_files, seen_progressions = {p.style.file for p in trained}, {p.progression for p in trained}
    for split in ("valid", "test"):
        own = [p for p in plans if p.split == split]
        assert len(own) == 20
        for plan in own:
            if plan.held == "groove":
                assert plan.style.file not in seen_files
            else:
                assert plan.progression not in seen_progressions
    assert "TimGM6mb" not in {p.soundfont for p in plans if p.split != "test"}
    assert "TimGM6mb" in {p.soundfont for p in plans if p.split == "test"}
    assert all(s.group in GROUPS for s in STYLES)
