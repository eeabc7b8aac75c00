"""``jackdaw midi``: MIDI devices of the ALSA sequencer, or of JACK, play and steer a session, and show its values.

What comes is sent to the engine as notes and controllers; values of parameters that controllers turn go back to them,
for motor faders and rings of lights. Devices may come and go, and so may the engine.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from jackdaw.cli._errors import UserError
from jackdaw.cli._which import add_which_options, engine_client, only_session
from jackdaw.engine.controllers import Controller, Decoder, messages
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError
from jackdaw.engine.tapers import position_of

if TYPE_CHECKING:
    from jackdaw.bridge.midi_ports import MidiPorts

__all__ = ["Feedback", "register"]

_SHOW_S = 0.1
_LOOK_S = 1.0
_REST_S = 0.5
_PACE_S = 0.006  # an engine takes 200 requests a second
_MOST = 256
_CONTROL = 0xB0
_ALL_OFF = [bytes([_CONTROL + channel, 123, 0]) for channel in range(16)]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "midi", help="let MIDI devices of ALSA play and steer", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--api", choices=["alsa", "jack"], default="alsa", help="whose ports (default: alsa)")
    parser.add_argument(
        "--port",
        action="append",
        metavar="WORD",
        help="connect devices whose names hold this, may repeat (default: all of ALSA's, none of JACK's)",
    )
    parser.add_argument("--server", metavar="NAME", help="name of the JACK server (default: the default server)")
    add_which_options(parser)
    parser.set_defaults(run=run)


class Feedback:
    """What to send so that controllers stand where their parameters do.

    A controller that is being moved is left alone until it has rested for half a second.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._moved: dict[tuple[str, int], float] = {}
        self._shown: dict[str, tuple[Controller, float]] = {}

    def note(self, message: bytes, now: float) -> None:
        """Take note of a message from a device, at a time in seconds."""
        if message[0] & 0xF0 == _CONTROL and message[1] < 120:
            for move in self._decoder.take((message[0] & 0x0F) + 1, message[1], message[2]):
                self._moved[move.controller.kind, move.controller.number] = now

    def due(self, values: dict[str, float], table: dict[str, Controller], now: float) -> Iterator[bytes]:
        """Yield the messages that tell devices what has changed since they were told."""
        for name, controller in table.items():
            shown = (controller, values[name])
            moved = self._moved.get((controller.kind, controller.number), -_REST_S)
            if self._shown.get(name) != shown and now - moved >= _REST_S:
                self._shown[name] = shown
                yield from messages(controller, position_of(PARAMETERS[name], values[name]))


def run(arguments: argparse.Namespace) -> int:
    """Pass messages until Ctrl-C."""
    if arguments.server:
        os.environ["JACK_DEFAULT_SERVER"] = arguments.server
    from jackdaw.bridge.midi_ports import MidiError, MidiPorts

    words = arguments.port or ([""] if arguments.api == "alsa" else [])
    try:
        with contextlib.closing(MidiPorts(arguments.api, words)) as ports:
            print(f"MIDI ports jackdaw-midi-in and jackdaw-midi-out of {arguments.api}; Ctrl-C stops", flush=True)
            told = ""
            while True:
                try:
                    with engine_client(arguments) as client:
                        client.session = arguments.session or only_session(client)
                        print(f"session {client.session!r}", flush=True)
                        _pass(ports, client)
                except (ControlError, UserError) as error:
                    if getattr(error, "code", None) == 2:
                        raise
                    if str(error) != told:
                        told = str(error)
                        print(f"waiting: {told}", flush=True)
                    ports.take(_LOOK_S, _MOST)
    except MidiError as error:
        raise UserError(str(error)) from error


def _pass(ports: "MidiPorts", client: ControlClient) -> None:
    """Pass messages while the engine answers; whatever ends that lets go of all notes."""
    try:
        _pass_on(ports, client)
    finally:
        with contextlib.suppress(ControlError):  # an engine that has ended holds none
            client.tell("notes", messages=_ALL_OFF)


def _pass_on(ports: "MidiPorts", client: ControlClient) -> None:
    feedback = Feedback()
    table: dict[str, Controller] = {}
    looked = shown = -_LOOK_S
    while True:
        heard = ports.take(_SHOW_S, _MOST)
        now = time.monotonic()
        for message in heard:
            feedback.note(message, now)
        if heard:
            client.tell("notes", messages=heard)
            time.sleep(_PACE_S)
        if now - looked >= _LOOK_S:
            looked = now
            come, gone = ports.look()
            _say(come, gone)
            if gone:  # what a device held, nobody will let go
                client.tell("notes", messages=_ALL_OFF)
            entries = client.ask("controllers")["controllers"]
            table = {name: Controller.of_table(entry) for name, entry in entries.items() if name in PARAMETERS}
        if now - shown >= _SHOW_S:
            shown = now
            for message in feedback.due(client.status()["parameters"], table, now):
                ports.send(message)


def _say(come: Iterable[str], gone: Iterable[str]) -> None:
    for name in come:
        print(f"connected: {name}", flush=True)
    for name in gone:
        print(f"gone: {name}", flush=True)
