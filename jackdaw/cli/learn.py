"""``jackdaw learn``: let a MIDI controller turn a parameter, by moving it.

The engine keeps what was learned in its map of controllers, ``$XDG_CONFIG_HOME/jackdaw/midi.toml``.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any

from jackdaw.cli._errors import UserError
from jackdaw.cli._which import add_which_options, engine_client, only_session
from jackdaw.engine.controllers import KINDS, Controller
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["register"]

_LOOK_S = 0.1
_SETTLE_S = 0.5
"""A controller of 14 bits is known as one after a few of its messages."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "learn", help="let a MIDI controller turn a parameter", description=__doc__.splitlines()[0]
    )
    parser.add_argument("parameter", choices=list(PARAMETERS), metavar="PARAMETER", help=", ".join(PARAMETERS))
    parser.add_argument("--forget", action="store_true", help="let no controller turn it any more")
    parser.add_argument("--seconds", type=float, default=30.0, help="wait so long for a controller (default: 30)")
    add_which_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Wait for a controller to move, and bind it."""
    if not 0 < arguments.seconds <= 3600:
        raise UserError(f"--seconds {arguments.seconds:g}: give more than 0 and at most 3600", code=2)
    name = arguments.parameter
    try:
        with engine_client(arguments) as client:
            controller = None
            if not arguments.forget:
                client.session = arguments.session or only_session(client)
                print(f"{name}: move a controller", flush=True)
                controller = _next_moved(client, arguments.seconds)
            table = None if controller is None else controller.table()
            reply = client.ask("controllers", parameter=name, controller=table)
    except ControlError as error:
        raise UserError(str(error)) from error
    print(f"{name}: {controller or 'no controller'}, saved in {reply['path']}")
    return 0


def _next_moved(client: ControlClient, seconds: float) -> Controller:
    """Return the controller that moves next."""
    before = _moves(client.status()["controller"])
    deadline = time.monotonic() + seconds
    while _moves(moved := client.status()["controller"]) == before:
        if time.monotonic() > deadline:
            raise UserError(
                f"no controller moved within {seconds:g} s: connect one to the MIDI input (`jackdaw midi` does so for "
                "ALSA), and move it"
            )
        time.sleep(_LOOK_S)
    time.sleep(_SETTLE_S)
    moved = client.status()["controller"]
    return Controller.of_table({key: value for key, value in moved.items() if key in {*KINDS, "channel"}})


def _moves(moved: Mapping[str, Any] | None) -> int:
    return 0 if moved is None else int(moved["moves"])
