"""Over OSC the whole parameter tree can be read, turned and followed; what makes no sense changes nothing."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from players import hosting, opened, wait_for
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder, build_msg

from jackdaw.engine.host import Host
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol.osc import LOOPBACK, OscServer
from jackdaw.engine.protocol.osc_query import OscQuery
from jackdaw.engine.session import Session
from jackdaw.log import Log


class Pad:
    """A controller: sends, and keeps what comes."""

    def __init__(self, port: int) -> None:
        self._to = (LOOPBACK, port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOOPBACK, 0))
        self.socket.settimeout(10.0)

    def send(self, address: str, *values: Any) -> None:
        self.socket.sendto(build_msg(address, list(values)).dgram, self._to)

    def raw(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self._to)

    def next(self) -> tuple[str, list[Any]]:
        message = OscMessage(self.socket.recv(65536))
        return message.address, list(message.params)

    def ask(self, address: str, *values: Any) -> tuple[str, list[Any]]:
        self.send(address, *values)
        return self.next()


@contextmanager
def speaking() -> Iterator[tuple[Host, Session, Pad, int]]:
    with hosting(Beep()) as host:
        session = opened(host, "beep", name="jam")
        server = OscServer(host, 0, log=Log("engine", "osc"))
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
        pad.send("/jackdaw/jam/note", 60, 100)
        wait_for(lambda: session.status()["notes"] == [60])
        pad.send("/jackdaw/jam/note", 60, 0)
        wait_for(lambda: session.status()["notes"] == [])
        pad.send("/jackdaw/jam/transport", 132.0, 3)
        wait_for(lambda: session.status()["transport"]["bpm"] == 132.0)
        pad.send("/jackdaw/jam/transport", 0)
        wait_for(lambda: not session.status()["transport"]["rolling"])
        pad.send("/jackdaw/jam/tap")
        pad.send("/jackdaw/jam/reset", 3)
        wait_for(lambda: session.revision >= before + 7)


def test_bundles_are_done_in_order() -> None:
    with speaking() as (_, session, pad, _):
        bundle = OscBundleBuilder(IMMEDIATELY)
        for value in (0.1, 0.2, 0.3):
            message = OscMessageBuilder("/jackdaw/jam/temperature")
            message.add_arg(value)
            bundle.add_content(message.build())
        pad.raw(bundle.build().dgram)
        wait_for(lambda: session.values()["temperature"] == pytest.approx(0.3))


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
        ("/jackdaw/jam/note", [60, 300]),
        ("/jackdaw/jam/transport", [1000.0]),
        ("/jackdaw/jam/transport", []),
        ("/jackdaw/jam/reset", [-1]),
        ("/jackdaw/subscribe", [0]),
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


def test_subscribers_are_told_of_changes_from_elsewhere() -> None:
    with speaking() as (_, session, pad, port):
        pad.send("/jackdaw/subscribe")
        pad.ask("/jackdaw/jam/temperature")
        while True:  # the first look tells every value, if it comes after
            session.set({"temperature": 0.25})
            address, values = pad.next()
            if address == "/jackdaw/jam/temperature" and values == [0.25]:
                break
        other = Pad(port)
        other.send("/jackdaw/jam/volume", -7.0)
        while pad.next() != ("/jackdaw/jam/volume", [-7.0]):
            pass
        pad.send("/jackdaw/unsubscribe")
        pad.ask("/jackdaw/jam/temperature")
        other.send("/jackdaw/jam/volume", -8.0)
        other.ask("/jackdaw/jam/volume")
        pad.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            pad.next()
        other.socket.close()


def test_subscribers_are_bounded() -> None:
    with speaking() as (_, _, pad, _):
        for port in range(20000, 20016):
            pad.send("/jackdaw/subscribe", port)
        assert pad.ask("/jackdaw/subscribe", 20016)[0] == "/error"
        pad.send("/jackdaw/subscribe", 20003)
        assert pad.ask("/jackdaw/jam/top_k")[0] == "/jackdaw/jam/top_k"


def test_a_taken_port_is_refused_in_words() -> None:
    with speaking() as (host, _, _, port), pytest.raises(OSError, match="is not free"):
        OscServer(host, port, log=Log("engine", "osc"))


def asked(port: int, path: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10.0)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, json.loads(body) if reply.status == 200 else None


def test_the_tree_is_told_over_http() -> None:
    with speaking() as (host, session, _, port):
        query = OscQuery(host, port, "test")
        query.start()
        try:
            session.set({"temperature": 0.5})
            code, whole = asked(port, "/")
            assert code == 200
            leaves = whole["CONTENTS"]["jackdaw"]["CONTENTS"]["jam"]["CONTENTS"]
            assert list(leaves) == list(PARAMETERS)
            code, leaf = asked(port, "/jackdaw/jam/temperature")
            assert leaf["VALUE"] == [0.5]
            assert leaf["RANGE"] == [{"MIN": 0.0, "MAX": 4.0}]
            assert leaf["FULL_PATH"] == "/jackdaw/jam/temperature"
            assert asked(port, "/?HOST_INFO")[1]["OSC_PORT"] == port
            assert asked(port, "/jackdaw/nobody")[0] == 404
            assert asked(port, "/", Host="evil.example:80")[0] == 403
        finally:
            query.close()
