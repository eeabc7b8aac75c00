"""Over OSC the whole parameter tree can be read, turned and followed; what makes no sense changes nothing."""

import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from players import hosting, opened, wait_for
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder, build_msg

from jackdaw.cli import main
from jackdaw.engine.host import Host
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol import osc
from jackdaw.engine.protocol.desk import BURST, PER_SECOND
from jackdaw.engine.protocol.operations import Operations
from jackdaw.engine.protocol.osc import LOOPBACK, OscServer
from jackdaw.engine.protocol.osc_query import OscQuery
from jackdaw.engine.protocol.osc_requests import ACTIONS
from jackdaw.engine.session import Session
from jackdaw.log import Log


class Pad:
    """A controller: sends, and keeps what comes."""

    def __init__(self, port: int) -> None:
        self._to = (LOOPBACK, port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((LOOPBACK, 0))
        self.socket.settimeout(10.0)

    def send(self, address: str, *values: Any) -> None:
        self.raw(build_msg(address, list(values)).dgram)

    def raw(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self._to)

    def next(self) -> tuple[str, list[Any]]:
        """Return what comes next, levels aside, which come all the time."""
        while True:
            message = OscMessage(self.socket.recv(65536))
            if not message.address.endswith(("/level_out", "/level_in")):
                return message.address, list(message.params)

    def ask(self, address: str, *values: Any) -> tuple[str, list[Any]]:
        self.send(address, *values)
        return self.next()

    def subscribe(self) -> dict[str, float]:
        """Subscribe; return what all parameters are."""
        self.send("/jackdaw/subscribe")
        told = [self.next() for _ in PARAMETERS]
        return {address.rpartition("/")[2]: values[0] for address, values in told}


def bundle(*elements: bytes, tag: bytes = bytes(7) + b"\1") -> bytes:
    return b"#bundle\0" + tag + b"".join(struct.pack(">i", len(element)) + element for element in elements)


def message(address: str, *values: Any) -> bytes:
    return bytes(build_msg(address, list(values)).dgram)


@contextmanager
def speaking() -> Iterator[tuple[Host, Session, Pad, int]]:
    log = Log("engine", "osc")
    with hosting(Beep()) as host:
        session = opened(host, "beep", name="jam")
        server = OscServer(host, Operations(host, "test", lambda: None, log), 0, log=log)
        server.start()
        pad = Pad(server.port)
        try:
            yield host, session, pad, server.port
        finally:
            pad.socket.close()
            server.close()


def test_every_parameter_is_set_and_read() -> None:
    with speaking() as (_, session, pad, _):
        for name, parameter in PARAMETERS.items():
            goal = parameter.minimum if parameter.default != parameter.minimum else parameter.maximum
            pad.send(f"/jackdaw/jam/{name}", float(goal))
            address, values = pad.ask(f"/jackdaw/jam/{name}")
            assert (address, values) == (f"/jackdaw/jam/{name}", [pytest.approx(goal)])
            assert session.values()[name] == pytest.approx(goal)
        pad.send("/jackdaw/jam/hear", True)
        assert pad.ask("/jackdaw/jam/hear")[1] == [1.0]


def test_prompts_notes_time_and_reset() -> None:
    with speaking() as (_, session, pad, _):
        before = session.revision
        pad.send("/jackdaw/jam/prompt", "disco", 0.5, "slow blues")
        wait_for(lambda: [prompt.name for prompt in session.prompts] == ["disco", "slow blues"])
        assert [prompt.weight for prompt in session.prompts] == [0.5, 1.0]
        pad.send("/jackdaw/jam/notes", 0x90, 60, 100.0)
        wait_for(lambda: session.status()["notes"] == [60])
        midi = OscMessageBuilder("/jackdaw/jam/notes")
        midi.add_arg((0, 0x80, 60, 0), "m")
        midi.add_arg((0, 0x90, 64, 100), "m")
        midi.add_arg((0, 0xC0, 5, 0), "m")
        pad.raw(midi.build().dgram)
        wait_for(lambda: session.status()["notes"] == [64])
        pad.send("/jackdaw/jam/transport", 132.0, 0.0, 3, True)
        wait_for(lambda: session.status()["transport"]["bpm"] == 132.0)
        assert session.status()["transport"]["rolling"]
        pad.send("/jackdaw/jam/transport", 132, 0, 3.0, False)
        wait_for(lambda: not session.status()["transport"]["rolling"])
        pad.send("/jackdaw/jam/tap")
        pad.send("/jackdaw/jam/reset", 3)
        wait_for(lambda: session.revision >= before + 7)


def test_what_is_sent_is_done_in_the_order_in_which_it_was_sent() -> None:
    """Slow things, too: what comes after a prompt waits for it."""
    with speaking() as (_, session, pad, _):
        for number in range(20):
            pad.send("/jackdaw/jam/prompt", f"style {number}")
            pad.send("/jackdaw/jam/weight_1", number / 40)
        assert pad.ask("/jackdaw/jam/weight_1")[1] == [pytest.approx(19 / 40)]
        assert [prompt.name for prompt in session.prompts] == ["style 19"]


def test_bundles_are_done_in_order_whatever_their_time_tags() -> None:
    late, soon = struct.pack(">II", 0xFFFFFFF0, 0), struct.pack(">II", 1, 0)
    with speaking() as (_, session, pad, _):
        a, b, c = (message("/jackdaw/jam/temperature", value) for value in (0.1, 0.2, 0.3))
        pad.raw(bundle(a, bundle(b, tag=late), bundle(c, tag=soon)))
        assert pad.ask("/jackdaw/jam/temperature")[1] == [pytest.approx(0.3)]
        pad.raw(bundle(bundle(c, tag=soon), bundle(a, tag=late), b))
        assert pad.ask("/jackdaw/jam/temperature")[1] == [pytest.approx(0.2)]
        assert session.revision >= 6


def test_one_wrong_message_of_a_bundle_keeps_none_of_the_others() -> None:
    with speaking() as (_, _, pad, _):
        pad.raw(bundle(message("/jackdaw/jam/temperature", 9.0), message("/jackdaw/jam/volume", -3.0)))
        assert pad.next()[1][0] == "/jackdaw/jam/temperature"
        assert pad.ask("/jackdaw/jam/volume")[1] == [-3.0]


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"jackdaw",
        b"#bundle\0",
        b"#bundle\0" + bytes(8) + b"\0\0",
        b"#bundle\0" + bytes(8) + struct.pack(">i", -4) + bytes(4),
        b"#bundle\0" + bytes(8) + struct.pack(">i", 0),
        b"#bundle\0" + bytes(8) + struct.pack(">i", 400) + bytes(4),
        bundle(message("/jackdaw/jam/temperature", 0.25), b"what"),
        b"/jackdaw/jam/temperature\0\0\0\0,f\0\0",
        b"/jackdaw/jam/temperature\0\0\0\0,f\0\0\0\0",
        b"/jackdaw/jam/temperature\0\0\0\0,s\0\0one",
        b"/jackdaw/jam/temperature\0\0\0\0,X\0\0",
        b"/jackdaw/jam/temperature\0\0\0\0f\0\0\0" + bytes(4),
        reduce(lambda inner, _: bundle(inner), range(20), message("/jackdaw/jam/temperature", 0.25)),
        bundle(*[message("/jackdaw/jam/temperature", 0.25)] * 1000),
    ],
)
def test_what_is_no_osc_is_told_and_changes_nothing(datagram: bytes) -> None:
    with speaking() as (_, session, pad, _):
        before = session.revision, session.values()
        pad.raw(datagram)
        assert pad.next()[0] == "/error"
        assert pad.ask("/jackdaw/jam/temperature") == ("/jackdaw/jam/temperature", [1.0])
        assert (session.revision, session.values()) == before


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/jackdaw/jam/temperature", [9.0]),
        ("/jackdaw/jam/temperature", ["hot"]),
        ("/jackdaw/jam/temperature", [1.0, 2.0]),
        ("/jackdaw/jam/colour", [1.0]),
        ("/jackdaw/nobody/temperature", [1.0]),
        ("/jackdaw/jam/prompt", [1.0]),
        ("/jackdaw/jam/prompt", [" "]),
        ("/jackdaw/jam/temperature", [float("nan")]),
        ("/jackdaw/jam/prompt", []),
        ("/jackdaw/jam/prompt", ["disco", 1.0, 1.0]),
        ("/jackdaw/jam/prompt", ["disco", 2.0]),
        ("/jackdaw/jam/notes", [0x90, 60, 300]),
        ("/jackdaw/jam/notes", [60, 60, 60]),
        ("/jackdaw/jam/notes", [0x90, 60.5, 60]),
        ("/jackdaw/jam/notes", []),
        ("/jackdaw/jam/transport", [1000.0, 0.0, 4, True]),
        ("/jackdaw/jam/transport", [120.0, 5.0, 4, True]),
        ("/jackdaw/jam/transport", [120.0]),
        ("/jackdaw/jam/tap", [1]),
        ("/jackdaw/jam/reset", [-1]),
        ("/jackdaw/jam/reset", [float("inf")]),
        ("/jackdaw/jam/close", []),
        ("/jackdaw/jam/stop", []),
        ("/jackdaw/subscribe", [0]),
        ("/jackdaw/subscribe", ["here"]),
        ("/jackdaw/*/temperature", [1.0]),
        ("/jackdaw/dance", []),
        ("/elsewhere", []),
        ("/jackdaw/jam/a/b", []),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(address: str, values: list[Any]) -> None:
    with speaking() as (_, session, pad, _):
        before = session.revision, session.values()
        error, told = pad.ask(address, *values)
        assert error == "/error"
        assert told[0] == address
        assert told[1]
        assert (session.revision, session.values()) == before


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(datagrams=st.lists(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"/jackdaw/jam/\0\0\0," + b)))
def test_noise_changes_nothing(datagrams: list[bytes]) -> None:
    _, session, pad, _ = room
    before = session.values()
    for datagram in datagrams:
        pad.raw(datagram)
    pad.send("/jackdaw/jam/temperature")
    while pad.next()[0] == "/error":
        pass
    assert session.values() == before


room: tuple[Host, Session, Pad, int]


@pytest.fixture(autouse=True)
def shared_room(request: pytest.FixtureRequest) -> Iterator[None]:
    global room
    if "noise" not in request.node.name:
        yield
        return
    with speaking() as room:
        yield


def test_a_flood_is_bounded_and_told() -> None:
    """A sender has the rate of any connection; others are not kept waiting by it, and order is kept."""
    with speaking() as (_, session, pad, port):
        before, began = session.revision, time.monotonic()
        for number in range(2000):
            pad.send("/jackdaw/jam/temperature", number / 1000)
            time.sleep(0.0005)
        other = Pad(port)
        address, values = other.ask("/jackdaw/jam/temperature")
        assert address == "/jackdaw/jam/temperature"
        assert values[0] >= (BURST - 1) / 1000 - 1e-6
        assert BURST <= session.revision - before <= BURST + PER_SECOND * (time.monotonic() - began) + 1
        assert pad.next()[0] == "/error"
        other.socket.close()


def test_more_than_can_be_taken_is_lost_and_nothing_else() -> None:
    with speaking() as (_, _, pad, port):
        for _ in range(20000):
            pad.raw(b"noise")
        other = Pad(port)
        other.socket.settimeout(0.5)
        for _ in range(40):
            try:
                assert other.ask("/jackdaw/jam/top_k") == ("/jackdaw/jam/top_k", [50])
                break
            except TimeoutError:
                continue  # it came while the socket was full
        else:
            pytest.fail("never answered")
        other.socket.close()


def test_long_requests_that_come_too_fast_are_told_too() -> None:
    with speaking() as (_, _, pad, _):
        long = ["disco " * 160, 1.0] * 6
        for _ in range(5 * BURST):
            pad.send("/jackdaw/jam/prompt", *long)
            time.sleep(0.0005)
        address, (of, text) = pad.next()
        assert (address, of) == ("/error", "/jackdaw/jam/prompt")
        assert "requests a second" in text


def test_errors_are_not_answered() -> None:
    with speaking() as (_, _, pad, _):
        pad.send("/error", "/what", "no")
        assert pad.ask("/jackdaw/jam/top_k") == ("/jackdaw/jam/top_k", [50])


def test_subscribers_are_told_what_is_and_what_others_change() -> None:
    with speaking() as (_, session, pad, port):
        assert pad.subscribe() == pytest.approx(session.values())
        session.set({"temperature": 0.25})
        assert pad.next() == ("/jackdaw/jam/temperature", [0.25])
        other = Pad(port)
        other.send("/jackdaw/jam/volume", -7.0)
        assert pad.next() == ("/jackdaw/jam/volume", [-7.0])
        pad.send("/jackdaw/jam/volume", -9.0)  # its own is not told again
        wait_for(lambda: session.values()["volume"] == -9.0)
        other.subscribe()
        pad.send("/jackdaw/jam/top_k", 60)
        assert other.next() == ("/jackdaw/jam/top_k", [60])
        session.set({"top_k": 61})
        assert pad.next() == ("/jackdaw/jam/top_k", [61])
        pad.send("/jackdaw/jam/top_k", 61.4)  # unless it became another
        pad.send("/jackdaw/jam/top_k", 62.4)
        assert pad.next() == ("/jackdaw/jam/top_k", [62])
        pad.send("/jackdaw/unsubscribe")
        pad.ask("/jackdaw/jam/temperature")
        other.send("/jackdaw/jam/volume", -8.0)
        other.ask("/jackdaw/jam/volume")
        pad.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            pad.next()
        other.socket.close()


def test_a_session_opened_later_is_told() -> None:
    with speaking() as (host, _, pad, _):
        pad.subscribe()
        opened(host, "beep", name="second")
        told = [pad.next()[0] for _ in PARAMETERS]
        assert told == [f"/jackdaw/second/{name}" for name in PARAMETERS]


def test_levels_are_told_to_subscribers() -> None:
    with speaking() as (_, _, pad, _):
        pad.send("/jackdaw/subscribe")
        while True:
            told = OscMessage(pad.socket.recv(65536))
            if told.address == "/jackdaw/jam/level_out":
                break
        assert [level <= 20.0 for level in told.params] == [True, True]


def test_another_port_can_be_subscribed() -> None:
    with speaking() as (_, session, pad, port):
        screen = Pad(port)
        pad.send("/jackdaw/subscribe", screen.socket.getsockname()[1])
        for _ in PARAMETERS:
            screen.next()
        pad.send("/jackdaw/jam/volume", -9.0)
        pad.ask("/jackdaw/jam/volume")
        session.set({"volume": -10.0})
        assert screen.next() == ("/jackdaw/jam/volume", [-10.0])
        screen.socket.close()


def test_subscriptions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osc, "_KEPT_S", 0.3)
    with speaking() as (_, _, pad, _):
        pad.subscribe()
        pad.socket.settimeout(2.0)
        with pytest.raises(TimeoutError):
            pad.next()
        assert len(pad.subscribe()) == len(PARAMETERS)


def test_subscribers_are_bounded() -> None:
    with speaking() as (_, _, pad, port):
        assert pad.ask("/jackdaw/subscribe", port)[0] == "/error"
        for number in range(20000, 20016):
            pad.send("/jackdaw/subscribe", number)
        assert pad.ask("/jackdaw/subscribe", 20016)[0] == "/error"
        pad.send("/jackdaw/subscribe", 20003)
        assert pad.ask("/jackdaw/jam/top_k")[0] == "/jackdaw/jam/top_k"


def test_a_taken_port_is_refused_in_words() -> None:
    log = Log("engine", "osc")
    with speaking() as (host, _, _, port):
        with pytest.raises(OSError, match="is not free"):
            OscServer(host, Operations(host, "test", lambda: None, log), port, log=log)
        with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(OSError, match="is not free"):
            OscQuery(host, taken.getsockname()[1], "test", log=log)


@pytest.mark.parametrize("text", ["0.0.0.0:9000", "192.168.1.2:9000", "0", "65536", "-1", "nine"])
def test_only_a_port_of_this_machine_can_be_asked_for(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--osc", text])
    assert ended.value.code == 2
    assert "127.0.0.1 alone" in capsys.readouterr().err


def asked(port: int, path: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10.0)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, json.loads(body) if reply.status == 200 else None


@contextmanager
def answering() -> Iterator[tuple[Host, Session, int]]:
    with speaking() as (host, session, _, port):
        query = OscQuery(host, port, "test", log=Log("engine", "osc"))
        query.start()
        try:
            yield host, session, port
        finally:
            query.close()


def test_the_tree_is_told_over_http() -> None:
    with answering() as (_, session, port):
        session.set({"temperature": 0.5})
        code, whole = asked(port, "/")
        assert code == 200
        leaves = whole["CONTENTS"]["jackdaw"]["CONTENTS"]["jam"]["CONTENTS"]
        assert list(leaves) == [*PARAMETERS, "level_out", "level_in", *ACTIONS]
        for name, leaf in leaves.items():
            assert leaf["FULL_PATH"] == f"/jackdaw/jam/{name}"
            assert {"TYPE", "DESCRIPTION", "ACCESS"} <= set(leaf)
        leaf = asked(port, "/jackdaw/jam/temperature")[1]
        assert leaf["VALUE"] == [0.5]
        assert leaf["RANGE"] == [{"MIN": 0.0, "MAX": 4.0}]
        assert leaves["prompt"]["ACCESS"] == 2
        assert asked(port, "/?HOST_INFO")[1]["OSC_PORT"] == port
        assert asked(port, "/jackdaw/nobody")[0] == 404
        assert asked(port, "/jackdaw/jam/temperature/CONTENTS")[0] == 404


def test_over_http_nothing_can_be_done_and_strangers_get_nothing() -> None:
    with answering() as (_, session, port):
        before = session.revision
        assert asked(port, "/", Host="evil.example:80")[0] == 403
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10.0)
            connection.request(method, "/jackdaw/jam/temperature", body=b"1")
            assert connection.getresponse().status == 501
            connection.close()
        assert session.revision == before


def test_who_says_nothing_over_http_holds_nobody_up_for_long() -> None:
    with answering() as (_, _, port):
        silent = [socket.create_connection((LOOPBACK, port)) for _ in range(20)]
        for one in silent:
            one.settimeout(20.0)
            assert one.recv(1) == b""
            one.close()
        assert asked(port, "/")[0] == 200
