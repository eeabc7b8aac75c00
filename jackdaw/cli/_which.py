"""Which engine, and which session, a command is about: options, and what they mean."""

import argparse
from pathlib import Path

from jackdaw.cli._errors import UserError
from jackdaw.engine.protocol.address import running_engines
from jackdaw.engine.protocol.client import ControlClient

__all__ = ["add_which_options", "engine_client", "only_session"]

_SLOW_S = 30.0


def add_which_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command's parser."""
    where = parser.add_argument_group("which engine")
    where.add_argument("--engine", metavar="NAME", help="its name (default: the only one that runs)")
    where.add_argument("--session", metavar="NAME", help="name of the session (default: the only one that is open)")
    where.add_argument("--connect", metavar="tcp://ADDRESS:PORT", help="an engine that listens there")
    where.add_argument("--keys", type=Path, metavar="FILE", help="this client's keys, from `jackdaw keys`")
    parser.add_argument("--timeout", type=float, default=_SLOW_S, metavar="S", help="wait for a reply (default: 30)")


def engine_client(arguments: argparse.Namespace) -> ControlClient:
    """Return a client of the engine that the options name.

    Raises
    ------
    UserError
        If they name none, or do not fit together.
    ControlError
        If there is no such engine.
    """
    if not 0 < arguments.timeout <= 3600:
        raise UserError(f"--timeout {arguments.timeout:g}: give more than 0 and at most 3600 seconds", code=2)
    if arguments.connect:
        if arguments.engine:
            raise UserError("--engine is for engines on this machine: give it or --connect", code=2)
        return ControlClient(connect=arguments.connect, keys=arguments.keys, timeout=arguments.timeout)
    if arguments.keys:
        raise UserError("--keys is for engines on other machines: give --connect tcp://ADDRESS:PORT too", code=2)
    name = arguments.engine
    if name is None:
        names = running_engines()
        if not names:
            raise UserError("no engine runs; start one with `jackdaw serve`, or play with `jackdaw jam`")
        if len(names) > 1:
            raise UserError(f"several engines run: say which with --engine: {', '.join(names)}", code=2)
        name = names[0]
    return ControlClient(name, timeout=arguments.timeout)


def only_session(client: ControlClient) -> str:
    """Return the name of the only session that is open.

    Raises
    ------
    UserError
        If there is none, or more than one.
    """
    names = [str(session["session"]) for session in client.ask("list")["sessions"]]
    if not names:
        raise UserError("no session is open; open one with `jackdaw ctl open NAME`")
    if len(names) > 1:
        raise UserError(f"several sessions are open: say which with --session: {', '.join(names)}", code=2)
    return names[0]
