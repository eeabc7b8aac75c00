"""Promise: kill the engine, the client or the server, in any order; the others live on, and the music comes back."""

import itertools
import time

import pytest
from studio import wait_until


@pytest.mark.jack
@pytest.mark.parametrize("order", list(itertools.permutations(["engine", "bridge", "server"])), ids="-".join)
def test_kill_and_come_back(studio, order):
    room = studio()
    start = {
        "engine": room.start_engine,
        "bridge": lambda: room.start_bridge("--no-connect"),
        "server": room.start_server,
    }
    start["server"]()
    start["engine"]()
    start["bridge"]()
    room.wait_for_sound()

    # one at a time: each comes back while the others live
    for name in order:
        _kill(room, name)
        time.sleep(0.2)
        assert all(getattr(room, other).alive for other in ("engine", "bridge") if other != name)
        start[name]()
        room.wait_for_sound()

    # all of them, one after another, and back in the same order
    for number, name in enumerate(order):
        _kill(room, name)
        time.sleep(0.1)
        assert all(getattr(room, other).alive for other in order[number + 1 :] if other != "server")
    for name in order:
        if name == "bridge" and room.server._process is None:
            continue  # it would say that there is no server, and end: started below
        start[name]()
    if not room.bridge.alive:
        start["bridge"]()
    room.wait_for_sound()


def _kill(room, name):
    if name != "server":
        getattr(room, name).kill()
        return
    room.server._process.kill()
    room.server._process.wait()
    room.server.stop()


@pytest.mark.jack
def test_connections_come_back_with_the_server(studio):
    import jack

    room = studio()
    room.start_server()
    room.start_engine()
    room.start_bridge()
    room.wait_for_sound()

    def connections():
        client = jack.Client("looker", servername=room.session, no_start_server=True)
        try:
            ours = client.get_ports(room.client)
            return {(port.name, other.name) for port in ours for other in client.get_all_connections(port)}
        finally:
            client.close()

    assert (f"{room.client}:out_L", "system:playback_1") in connections()
    assert (f"{room.client}:in_R", "system:capture_2") in connections()
    client = jack.Client("hand", servername=room.session, no_start_server=True)
    client.disconnect("system:capture_2", f"{room.client}:in_R")
    client.connect("system:capture_1", f"{room.client}:in_R")
    client.close()
    time.sleep(3.0)  # longer than the bridge waits before it takes a change for the user's will
    before = connections()
    assert (f"{room.client}:in_R", "system:capture_1") in before
    room.server.stop()
    room.start_server()
    wait_until("the connections", lambda: connections() == before)


@pytest.mark.jack
def test_client_is_there_and_silent_before_any_engine(studio):
    room = studio()
    room.start_server()
    room.start_bridge("--no-connect")
    wait_until("the client", lambda: room.bridge.said("connected"))
    assert not room.probe(4800).result().audio.any()
    room.start_engine()
    room.wait_for_sound()
    assert room.bridge.said("waiting for the engine")
    assert room.bridge.said("attached")


@pytest.mark.jack
def test_server_comes_and_goes(studio):
    room = studio()
    room.start_server()
    room.start_engine()
    room.start_bridge()
    for times in range(1, 11):
        wait_until("the client", lambda times=times: len(room.bridge.said("connected")) == times)
        if times % 2:
            room.server.stop()
        else:
            _kill(room, "server")
        room.start_server()
    assert room.bridge.alive
    room.wait_for_sound()
