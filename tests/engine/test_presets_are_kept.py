"""A preset brings back how a session played: prompts, knobs, seed and, if it was kept, what the model remembers."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from engines import engine_process, opened
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from players import Reader, hosting, unique_name, wait_for
from players import opened as opened_session

from jackdaw.cli import main
from jackdaw.engine import presets
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.tiny import Tiny
from jackdaw.engine.options import Options
from jackdaw.engine.parameters import defaults
from jackdaw.engine.prompts import Prompt
from jackdaw.engine.protocol.client import ControlClient


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def preset(**changes: object) -> presets.Preset:
    style = np.random.default_rng(0).normal(size=8).astype(np.float32)
    prompts = [
        Prompt(text='a "quoted"\nstyle \\ \u00fc \x7f \U0001f3b7 \x01', weight=0.25, embedding=style, model_hash="abc"),
        Prompt(audio="/riffs/a riff.flac", name="riff", weight=1.0),
    ]
    usual = {"model": "beep", "model_hash": "abc", "seed": 7, "parameters": defaults() | {"temperature": 0.1 + 0.2}}
    return presets.Preset(**{**usual, "prompts": prompts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [None, b"remembered"])
def test_what_is_written_is_read(state: bytes | None) -> None:
    path = presets.path_of("late night")
    presets.write(path, preset(state=state))
    found = presets.read(path)
    assert found == preset(state=state)
    assert found.prompts[0].embedding is not None
    assert np.array_equal(found.prompts[0].embedding, preset().prompts[0].embedding)  # type: ignore[arg-type]
    assert presets.names() == ["late night"]
    assert path.stat().st_mode & 0o777 == 0o600
    presets.remove(path)
    assert list(presets.folder().iterdir()) == []


def test_a_preset_without_state_drops_an_old_state() -> None:
    path = presets.path_of("a")
    presets.write(path, preset(state=b"old"))
    presets.write(path, preset())
    assert presets.read(path).state is None
    assert not path.with_suffix(".safetensors").exists()


def test_a_full_disk_leaves_the_old_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    path = presets.path_of("a")
    presets.write(path, preset())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        presets.write(path, preset(seed=8))
    assert presets.read(path).seed == 7
    assert [file.name for file in presets.folder().iterdir()] == ["a.toml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model = ", "not TOML"),
        ('model = "beep"', "model_hash is missing"),
        ('model = "beep"\nmodel_hash = "x"\ncolour = 3', "unknown colour"),
        ('model = "beep"\nmodel_hash = "x"\nseed = -1', "seed is -1"),
        ('model = "beep"\nmodel_hash = "x"\nseed = true', "no int"),
        ('model = "beep"\nmodel_hash = "x"\n[parameters]\ntemperature = 9', "out of range"),
        ('model = "beep"\nmodel_hash = "x"\n[parameters]\nheat = 1', "no parameter named 'heat'"),
        ('model = "beep"\nmodel_hash = "x"\n[parameters]\nhear = true', "no number"),
        ('model = "beep"\nmodel_hash = "x"\n[[prompts]]\nweight = 1', "give one of them"),
        ('model = "beep"\nmodel_hash = "x"\n[[prompts]]\ntext = 3', "give text in quotes"),
        ('model = "beep"\nmodel_hash = "x"\n[[prompts]]\ntext = "a"\nembedding = "?"', "damaged"),
        ('model = "beep"\nmodel_hash = "x"\n[[prompts]]\ntext = "a"\ncolour = 1', "a prompt has"),
        ('model = "beep"\nmodel_hash = "x"\n' + '[[prompts]]\ntext = "a"\n' * 7, "at most 6"),
    ],
)
def test_what_is_no_preset_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        presets.read(path)


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 65])
def test_names_stay_in_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="preset"):
        presets.path_of(name)


def test_a_killed_engine_plays_on_as_if_it_had_not_been(tiny: Tiny) -> None:
    """Saved after some seconds, loaded by another host: the next 10 s are the bytes of the run that went on.

    As much music is kept ready in both, whatever a step takes: else the input would be heard at another time.
    """
    steady = {"floor_s": 1.0, "ceiling_s": 1.0}
    options = Options(**steady, seed=3, parameters={"temperature": 1.1}, prompts=[Prompt(text="slow blues")])

    def riff(frames: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        at = np.arange(frames)
        return np.repeat((0.2 * np.sin(at * 0.05))[:, None], 2, axis=1).astype(np.float32)

    with hosting(tiny) as host:
        session = opened_session(host, "tiny", options)
        with Reader(session.name) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(3.0, riff)
        wait_for(lambda: not session.status()["reader_alive"])
        session.listen(None)  # is done between two steps: the last one, which may have been under way, is over
        path = presets.path_of("jam")
        told = session.prompts
        presets.write(
            path,
            presets.Preset(
                model="tiny", model_hash=session.model_hash or "", seed=3, parameters=session.values(), prompts=told,
                state=session.save_state(),
            ),
        )  # fmt: skip
        with Reader(session.name) as reader:
            reader.wait_until_engine_is_ready()
            wanted = reader.render(10.0, riff)
    kept = presets.read(path)
    with hosting(tiny) as host:
        again = Options(**steady, seed=kept.seed, parameters=kept.parameters, prompts=kept.prompts, state=kept.state)
        session = opened_session(host, "tiny", again)
        with Reader(session.name) as reader:
            reader.wait_until_engine_is_ready()
            differ = np.flatnonzero((reader.render(10.0, riff) != wanted).any(axis=1))
            assert not differ.size, f"{differ.size} of {len(wanted)} frames differ, the first is {differ[0]}"


def test_a_state_of_other_weights_is_refused() -> None:
    with hosting(Beep()) as host:
        state = opened_session(host, "beep").save_state()
        session = host.open(unique_name(), model="beep", options=Options(state=state, state_hash="of others"))
        assert not session.wait_until_ready(60.0)
        assert session.error_text is not None
        assert "other weights" in session.error_text


def test_the_command_keeps_and_loads(capsys: pytest.CaptureFixture[str]) -> None:
    engine = unique_name()
    with engine_process(engine) as process:
        with ControlClient(engine, timeout=20.0) as client:
            opened(client, "kept")
            client.prompt([{"text": "slow blues", "weight": 0.5}, {"text": "techno"}])
            client.set(temperature=0.7, volume=-3.0)
            before = client.tell("attach")
        assert main(["preset", "save", "blue", "--state", "--engine", engine]) == 0
        process.send_signal(signal.SIGKILL)
    again = unique_name()
    with engine_process(again), ControlClient(again, timeout=20.0) as client:
        opened(client, "kept")
        assert main(["preset", "load", "blue", "--engine", again]) == 0
        after = client.tell("attach")
        assert after["values"] == before["values"]
        assert after["prompts"] == before["prompts"]
        with Reader("kept", freewheel=False) as reader:  # a recording would be marked
            reader.wait_until_engine_is_ready()
            reader.render(0.5, paced=True)
        assert "preset blue" in [event["text"] for event in client.status()["events"]]
        opened(client, "other", model="beep-echo")
        assert main(["preset", "load", "blue", "--engine", again, "--session", "other"]) == 1
        assert "is for beep" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["preset", "list"]) == 0
    assert capsys.readouterr().out == "blue\n"
    assert main(["preset", "show", "blue"]) == 0
    assert "slow blues" in capsys.readouterr().out
    assert main(["preset", "delete", "blue"]) == 0
    assert main(["preset", "show", "blue"]) == 1
    assert "no preset" in capsys.readouterr().err


def test_samples_cannot_be_kept(capsys: pytest.CaptureFixture[str]) -> None:
    engine = unique_name()
    with engine_process(engine), ControlClient(engine, timeout=20.0) as client:
        opened(client, "kept")
        sound = np.random.default_rng(0).uniform(-0.5, 0.5, 48000).astype("<f4")
        client.prompt([{"samples": sound.tobytes(), "rate": 48000, "channels": 1, "name": "hum"}])
        assert main(["preset", "save", "hum", "--engine", engine]) == 1
        assert "give it as a file" in capsys.readouterr().err
    assert presets.names() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip))
@example('\N{SAXOPHONE} \x7f \x00 \x1b[1m \r\n \u2028 "\\')
def test_any_text_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "texts.toml"
    presets.write(path, preset(prompts=[Prompt(text=text, name=text)]))
    (found,) = presets.read(path).prompts
    assert (found.text, found.name) == (text, text)


def test_a_text_that_no_file_can_hold_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        presets.write(tmp_path / "odd.toml", preset(prompts=[Prompt(text="\ud800")], state=b"state"))
    assert list(tmp_path.iterdir()) == []
