"""Sessions of one host play side by side; whatever becomes of one, the others do not notice."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from players import Reader, hosting, opened, unique_name, wait_for
from test_session_plays_what_the_model_made import ramp_numbers

from jackdaw.dsp import segment_path
from jackdaw.engine import _models
from jackdaw.engine.host import MAX_SESSIONS, Host, HostError
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Controls, Item
from jackdaw.engine.options import Options
from jackdaw.engine.prompts import Prompt
from jackdaw.engine.render import render
from jackdaw.engine.session import Session

FATAL = 3.25
"""Temperature at which the models here break down."""


class Fragile(Beep):
    """A test model that breaks down, or stalls, when a session asks for it; it can step several sessions at once."""

    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        self.batches: list[int] = []

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        self.batches.append(1)
        return self._step(state, controls, heard)

    def step_many(self, items: Sequence[Item]) -> list[tuple[Any, Audio]]:
        self.batches.append(len(items))
        return [self._step(*item) for item in items]

    def _step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        if controls.temperature == FATAL:
            raise ZeroDivisionError("out of tune")
        return super().step(state, controls, heard)


def test_three_sessions_play_their_own_prompts() -> None:
    words = ["disco", "slow blues", "techno"]
    with hosting(Beep("beep")) as host:
        sessions = [
            opened(host, "beep", Options(seed=number, prompts=[Prompt(text=word)])) for number, word in enumerate(words)
        ]
        readers = [Reader(session.name) for session in sessions]
        for reader in readers:
            reader.wait_until_engine_is_ready()
        for _ in range(40):
            for reader in readers:
                reader.render(0.05)
        for number, (word, reader) in enumerate(zip(words, readers, strict=True)):
            expected = np.concatenate(list(render(Beep(), samples=110000, seed=number, style=Beep().embed(word))))
            _, played = reader.all()
            assert np.array_equal(played[240:], expected[240 : len(played)]), word  # after the fade-in of 5 ms
            reader.close()


@pytest.mark.parametrize("freewheel", [True, False])
def test_a_session_that_breaks_down_leaves_the_others_playing(freewheel: bool) -> None:
    with hosting(Fragile("beep-ramp")) as host:
        sessions = [opened(host, "beep-ramp") for _ in range(3)]
        readers = [Reader(session.name, freewheel=freewheel) for session in sessions]
        bad, good = sessions[1], [readers[0], readers[2]]
        for reader in readers:
            reader.wait_until_engine_is_ready()
        play(readers, 1.0, paced=not freewheel)
        bad.set({"temperature": FATAL})
        play(readers, 1.0, paced=not freewheel)
        wait_for(lambda: bad.phase == "failed")
        assert bad.error_text is not None
        assert "out of tune" in bad.error_text
        assert bad.status()["error"] == bad.error_text
        with pytest.raises(HostError, match="out of tune") as refused:
            bad.reset()
        assert refused.value.code == "failed"
        for reader in good:
            numbers = ramp_numbers(reader.all()[1])
            if reader.segment.counters.underruns == 0:  # a busy machine may add some
                assert np.array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
        assert {session.phase for session in sessions} == {"ready", "failed"}
        end = readers[1].render(0.5)
        assert not np.any(end[-4800:])
        for reader in readers:
            reader.close()
        host.close(bad.name)
        assert opened(host, "beep-ramp", name=bad.name).phase == "ready"


def play(readers: Sequence[Reader], seconds: float, *, paced: bool) -> None:
    """Let readers render at the same time, each on its thread."""
    threads = [threading.Thread(target=reader.render, args=(seconds,), kwargs={"paced": paced}) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_model_whose_audio_is_no_audio_fails_alone() -> None:
    class Wrong(Beep):
        def step(self, state: Any, controls: Controls, heard: Audio | None) -> tuple[Any, Audio]:
            state, audio = super().step(state, controls, heard)
            return state, audio[:, :1]

    with hosting(Wrong("beep-echo"), Beep("beep-ramp")) as host:
        wrong, right = opened(host, "beep-echo"), opened(host, "beep-ramp")
        with Reader(wrong.name), Reader(right.name) as reader:
            reader.wait_until_engine_is_ready()
            wait_for(lambda: wrong.phase == "failed")
            numbers = ramp_numbers(reader.render(2.0))
            assert np.array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))


def test_a_session_too_slow_for_its_own_music_leaves_the_others_theirs() -> None:
    class Slow(Beep):
        def step(self, state: Any, controls: Controls, heard: Audio | None) -> tuple[Any, Audio]:
            time.sleep(0.12)  # for 40 ms of music
            return super().step(state, controls, heard)

    with hosting(Slow("beep"), Beep("beep-ramp")) as host:
        slow, quick = opened(host, "beep"), opened(host, "beep-ramp")
        readers = [Reader(session.name, freewheel=False) for session in (slow, quick)]
        for reader in readers:
            reader.wait_until_engine_is_ready()
        play(readers, 3.0, paced=True)
        before = readers[1].segment.counters.underruns
        play(readers, 3.0, paced=True)
        assert quick.status()["target_ms"] > 1.5 * 120  # it has learnt to wait for the other
        assert quick.status()["step_ms"]["p99"] < 60  # which is not its own step's time
        assert readers[1].segment.counters.underruns - before <= 1  # a busy machine may add one
        assert readers[0].segment.counters.underruns > 5
        assert slow.phase == "ready"
        for reader in readers:
            reader.close()


def test_sessions_that_come_and_go_do_not_change_a_sample_of_another() -> None:
    with hosting(Fragile("beep-ramp")) as host:
        steady = opened(host, "beep-ramp")
        with Reader(steady.name) as reader:
            reader.wait_until_engine_is_ready()
            for turn in range(4):
                reader.render(1.0)
                other = opened(host, "beep-ramp")
                guest = Reader(other.name, rate=44100, freewheel=turn % 2 == 0)
                guest.wait_until_engine_is_ready()
                reader.render(0.5)
                guest.render(0.5)
                if turn == 2:
                    other.set({"temperature": FATAL})
                    guest.render(0.5)
                if turn % 2:
                    guest.close()
                    host.close(other.name)
                else:
                    closer = threading.Thread(target=host.close, args=(other.name,))
                    closer.start()
                    reader.render(0.5)
                    guest.render(0.5)
                    closer.join()
                    guest.close()
            numbers = ramp_numbers(reader.all()[1])
            assert np.array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
            assert reader.segment.counters.underruns == 0


def test_sessions_of_one_model_step_together_and_freewheeling_ones_alone() -> None:
    model = Fragile("beep-ramp")
    with hosting(model) as host:
        sessions = [opened(host, "beep-ramp") for _ in range(3)]
        readers = [Reader(session.name, freewheel=False) for session in sessions]
        for reader in readers:
            reader.wait_until_engine_is_ready()
        play(readers, 1.0, paced=True)
        assert max(model.batches) >= 2
        for reader in readers:
            reader.segment.freewheel(True)
            reader.render(0.01)
        del model.batches[:]
        play(readers, 2.0, paced=False)
        assert set(model.batches) == {1}
        for reader in readers:
            reader.close()


def test_a_model_is_loaded_once_and_let_go_after_the_last_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_models, "KEEP_S", 0.3)
    loads: list[str] = []

    def load(name: str) -> Beep:
        loads.append(name)
        return Beep(name)

    host = Host(load=load)
    try:
        first, second = opened(host, "beep"), opened(host, "beep")
        host.close(first.name)
        time.sleep(0.6)
        opened(host, "beep")
        assert loads == ["beep"]
        for session in host.sessions():
            host.close(session.name)
        assert second.phase == "ready"
        opened(host, "beep")
        assert loads == ["beep"]
        for session in host.sessions():
            host.close(session.name)
        wait_for(lambda: not host._models._shelves)
        opened(host, "beep")
        assert loads == ["beep", "beep"]
    finally:
        host.stop()


def test_a_model_that_cannot_be_loaded_fails_its_session_alone() -> None:
    def load(name: str) -> Beep:
        if name == "beep":
            return Beep()
        raise FileNotFoundError(f"weights of {name} are missing")

    host = Host(load=load)
    try:
        good = opened(host, "beep")
        bad = host.open(unique_name(), model="broken")
        assert not bad.wait_until_ready(20.0)
        assert bad.phase == "failed"
        assert bad.error_text == "weights of broken are missing"
        assert bad.status()["phase"] == "failed"
        assert host.open(bad.name, model="broken") is bad
        assert good.phase == "ready"
        host.close(bad.name)
        assert not bad.segment_path.exists()
    finally:
        host.stop()


def test_while_its_model_loads_a_session_is_there_and_says_so() -> None:
    go = threading.Event()

    def load(name: str) -> Beep:
        assert go.wait(20.0)
        return Beep(name)

    host = Host(load=load)
    try:
        session = host.open(unique_name(), model="beep-ramp")
        assert session.phase == "loading"
        assert session.spec is None
        assert session.segment_path.exists()
        assert session.set({"volume": -6.0})["volume"] == -6.0
        assert session.status()["phase"] == "loading"
        attempts: list[Callable[[], object]] = [
            session.reset,
            lambda: session.set_prompts([Prompt(text="disco")]),
            session.save_state,
            lambda: session.restore_state(b""),
            lambda: session.record("/nowhere/a.flac"),
        ]
        for attempt in attempts:
            with pytest.raises(HostError, match="loading") as refused:
                attempt()
            assert refused.value.code == "loading"
        impatient = host.open(unique_name(), model="beep-ramp")
        host.close(impatient.name)
        assert not impatient.segment_path.exists()
        with Reader(session.name) as reader:
            wait_for(lambda: bool(session.status()["reader_alive"]))
            go.set()
            reader.wait_until_engine_is_ready()
            assert np.any(reader.render(1.0))
        assert session.values()["volume"] == -6.0
    finally:
        go.set()
        host.stop()


def test_a_prompt_to_start_with_that_cannot_be_embedded_fails_the_session() -> None:
    with hosting(Beep()) as host:
        session = host.open(unique_name(), model="beep", options=Options(prompts=[Prompt(audio="/nowhere/a.wav")]))
        assert not session.wait_until_ready(20.0)
        assert session.error_text is not None
        assert "nowhere" in session.error_text


def test_what_cannot_be_opened_is_said_by_code() -> None:
    with hosting(Beep("beep"), Beep("beep-ramp")) as host:
        session = opened(host, "beep")
        assert host.open(session.name, model="beep", options=Options(seed=9)) is session
        assert host.get(session.name) is session

        def code(attempt: Callable[[], object]) -> str:
            with pytest.raises(HostError, match=r".{10}") as refused:
                attempt()
            return refused.value.code

        assert code(lambda: host.open(session.name, model="beep-ramp")) == "in use"
        assert code(lambda: host.get("nix")) == "no session"
        assert code(lambda: host.close("nix")) == "no session"
        with hosting(Beep("beep")) as second:
            assert code(lambda: second.open(session.name, model="beep")) == "in use"
        for _ in range(MAX_SESSIONS - 1):
            opened(host, "beep")
        assert code(lambda: host.open(unique_name(), model="beep")) == "full"
        host.close(session.name)
        assert code(session.status) == "no session"
        assert code(session.reset) == "no session"
        opened(host, "beep")


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1}, {"floor_s": 0.0}, {"floor_s": 1.0, "ceiling_s": 0.5}, {"hear": "loudly"},
        {"prompts": [Prompt(text="a")] * 7},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".{10}"):
        Options(**wrong)


def test_wrong_parameters_leave_no_segment_behind() -> None:
    name = unique_name()
    with hosting(Beep()) as host:
        with pytest.raises(ValueError, match="temperature"):
            host.open(name, model="beep", options=Options(parameters={"temperature": 9.0}))
        assert not segment_path(name).exists()


def test_a_lease_ends_when_nobody_asks_and_nobody_listens() -> None:
    with hosting(Beep()) as host:
        session = host.open(unique_name(), model="beep", lease_s=0.5)
        kept = opened(host, "beep")
        for _ in range(10):
            host.touch(session.name)
            time.sleep(0.1)
        assert host.get(session.name) is session
        with Reader(session.name):
            time.sleep(1.0)
            assert host.get(session.name) is session
        wait_for(lambda: host.sessions() == [kept])
        wait_for(lambda: not segment_path(session.name).exists())


def test_a_host_that_stops_ends_all_sessions_at_once() -> None:
    host = Host(load=Beep)
    sessions: list[Session] = [opened(host, "beep") for _ in range(4)]
    readers = [Reader(session.name, freewheel=False) for session in sessions]
    for reader in readers:
        reader.wait_until_engine_is_ready()
    play(readers, 0.3, paced=True)
    stopper = threading.Thread(target=host.stop)
    stopper.start()
    play(readers, 1.0, paced=True)
    stopper.join()
    host.stop()
    assert not host.running
    assert host.sessions() == []
    for reader in readers:
        assert not np.any(reader.render(0.1))
        assert reader.segment.counters.underruns == 0
        reader.close()
    with pytest.raises(HostError, match="stopping"):
        host.open(unique_name(), model="beep")
    assert not any(session.segment_path.exists() for session in sessions)
