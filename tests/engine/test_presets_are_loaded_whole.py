"""Promise: a preset is loaded into a playing session whole or not at all, by name and by MIDI program."""

from dataclasses import replace
from pathlib import Path

import pytest
from players import Reader, playing, wait_for
from test_notes_and_time_reach_the_model import Listening, rest

from jackdaw.engine import presets
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.prompts import Prompt
from jackdaw.engine.session import Session


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def fitting(session: Session) -> presets.Preset:
    return presets.Preset(
        model="beep",
        model_hash=session.model_hash or "",
        parameters={"temperature": 0.5, "volume": -6.0},
        prompts=[Prompt(text="quiet", weight=0.25), Prompt(text="loud", weight=1.0)],
        state=session.save_state(),
    )


def known(session: Session) -> tuple[object, ...]:
    return session.values(), [(p.name, p.weight) for p in session.prompts], session.revision


def test_all_of_it_is_loaded() -> None:
    with playing(Beep()) as (session, _):
        session.load(fitting(session), "fitting")
        values = session.values()
        assert (values["temperature"], values["volume"], values["weight_1"]) == (0.5, -6.0, 0.25)
        assert [prompt.name for prompt in session.prompts] == ["quiet", "loud"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "tiny"}, "for tiny"),
        ({"parameters": {"temperature": 99.0}}, "out of range"),
        ({"prompts": [Prompt(audio="/nowhere.wav", weight=1.0)]}, "nowhere"),
        ({"model_hash": "another"}, "other weights"),
        ({"state": b"damaged"}, None),
    ],
)
def test_what_cannot_be_loaded_changes_nothing(change: dict[str, object], said: str | None) -> None:
    with playing(Beep()) as (session, _):
        session.set({"temperature": 0.75})
        session.set_prompts([Prompt(text="as it was", weight=1.0)])
        before, state = known(session), session.save_state()
        with pytest.raises((ValueError, OSError), match=said):
            session.load(replace(fitting(session), **change), "changed")  # type: ignore[arg-type]
        assert known(session) == before
        assert session.save_state() == state


def test_a_program_change_loads_its_preset() -> None:
    with playing(Beep()) as (session, _):
        preset = replace(fitting(session), state=None)
        presets.write(presets.path_of("late night"), replace(preset, program=5))
        presets.write(presets.path_of("other"), replace(preset, program=6, parameters={"temperature": 1.5}))
        session.play_notes([bytes([0xC0, 7])])
        wait_for(lambda: session.status()["program"] is not None)
        assert session.status()["program"] == {"number": 8, "preset": None, "error": None}
        assert session.values()["temperature"] == 1.0
        session.play_notes([bytes([0xC3, 4])])
        wait_for(lambda: session.status()["program"]["preset"] == "late night")
        assert session.values()["temperature"] == 0.5
        session.play_notes([bytes([0xC0, number]) for number in [4, 5] * 50])
        wait_for(lambda: session.values()["temperature"] == 1.5)
        assert session.status()["program"]["preset"] == "other", "the last of a burst"


def test_trouble_with_a_program_is_told_and_changes_nothing() -> None:
    with playing(Beep()) as (session, _):
        for name in ("one", "two"):
            presets.write(presets.path_of(name), replace(fitting(session), state=None, program=3))
        presets.write(presets.path_of("foreign"), replace(fitting(session), model="tiny", state=None, program=4))
        before = session.values()
        for number, said in ((2, "several presets"), (3, "for tiny")):
            session.play_notes([bytes([0xC0, number])])
            wait_for(lambda said=said: said in str((session.status()["program"] or {}).get("error")))  # type: ignore[misc]
        assert session.values() == before


def test_a_number_that_midi_has_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('model = "beep"\nmodel_hash = "x"\nprogram = 129\n')
    with pytest.raises(ValueError, match="1 to 128"):
        presets.read(path)


def test_a_reset_waits_for_the_bar_as_it_is_heard() -> None:
    class Counting(Listening):
        """Notes which steps begin with a fresh state."""

        fresh: list[int]

        def init(self, seed: int) -> dict[str, object]:
            return {**super().init(seed), "is_fresh": seed == 77}

        def step(self, state, controls, heard):  # type: ignore[no-untyped-def]
            if state.pop("is_fresh", False):
                self.fresh.append(len(self.clocks))
            return super().step(state, controls, heard)

    model = Counting()
    model.fresh = []
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        rest(session)
        session.set_transport(120.0, 1.0, 4, True)
        reader.render(0.5, paced=True)
        session.reset(77, at_bar=True)
        assert not model.fresh
        reader.render(2.5, paced=True)
        assert len(model.fresh) == 1
        clock = model.clocks[model.fresh[0]]
        assert clock is not None
        assert min(clock.beat, 4 - clock.beat) / 2 <= 0.0201
        session.set_transport(120.0, 0.0, 4, False)
        session.reset(77, at_bar=True)
        reader.render(0.5, paced=True)
        assert len(model.fresh) == 2, "without a clock at once"
        with pytest.raises(ValueError, match="leave out the bar"):
            session.reset(1, epoch=True, at_bar=True)


def test_a_reset_that_fails_at_the_bar_does_not_stop_the_music(monkeypatch: pytest.MonkeyPatch) -> None:
    model, said = Listening(), []
    with playing(model) as (session, name), Reader(name) as reader:
        monkeypatch.setattr(session._shared, "say", lambda event, **_: said.append(event))
        reader.wait_until_engine_is_ready()
        rest(session)
        monkeypatch.setattr(session._player, "start_over", lambda *_, **__: 1 / 0)
        session.set_transport(120.0, 3.5, 4, True)
        session.reset(77, at_bar=True)
        reader.render(1.0)
        wait_for(lambda: any("at the bar line" in event for event in said))
        done = len(model.clocks)
        reader.render(0.5)
        assert len(model.clocks) > done
