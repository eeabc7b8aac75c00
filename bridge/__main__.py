"""``python -m jackdaw.bridge``: the JACK client of one session, until SIGINT or SIGTERM.

Writes JSON lines to stderr (see :mod:`jackdaw.log`). Exit codes: 0 stopped, 1 failed, 2 wrong usage; in both
latter cases the last line has level ``error`` and a text for the user.
"""

import argparse
import re
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from jackdaw.bridge.server import ServerError, load_libjack, server_name
from jackdaw.log import Log

__all__ = ["main", "tempo"]

_SLOWEST, _FASTEST = 30.0, 300.0
_SWITCH_S = 0.0005  # the control loop gets its turn soon even if another thread computes


def _parser(log: Log) -> argparse.ArgumentParser:
    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            log.failure("usage", message)
            sys.exit(2)

    parser = Parser(prog="python -m jackdaw.bridge", description="The JACK client of one session.")
    parser.add_argument("--session", default="jam", help="name of the session")
    parser.add_argument("--server", help="name of the JACK server (default: the default server)")
    parser.add_argument("--client", help="name of the JACK client (default: jackdaw, or jackdaw-SESSION)")
    parser.add_argument("--no-connect", action="store_true", help="do not connect to the hardware's ports")
    parser.add_argument("--hear-from", metavar="CLIENT", help="connect this JACK client to the inputs")
    parser.add_argument("--click", action="store_true", help="connect the metronome to the hardware's ports")
    parser.add_argument("--timebase", metavar="BPM/BEATS", help="lead JACK's transport, from this tempo on")
    parser.add_argument("--record", type=Path, metavar="FILE.flac", help="record what is played, and what is heard")
    parser.add_argument("--debug-burn", action="store_true", help=argparse.SUPPRESS)
    return parser


def tempo(text: str) -> tuple[float, int]:
    """Return beats a minute and a bar of a text such as ``120`` or ``90/3``.

    Raises
    ------
    ValueError
        If it tells none, or one out of range.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(\d+))?", text)
    bpm, beats = (float(found[1]), int(found[2] or 4)) if found else (0.0, 0)
    if not (_SLOWEST <= bpm <= _FASTEST and 2 <= beats <= 12):
        raise ValueError(
            f"--timebase {text}: give {_SLOWEST:g} to {_FASTEST:g} beats a minute, and 2 to 12 a bar, as 120 or 90/3"
        )
    return bpm, beats


def _burn() -> None:
    """Keep the interpreter busy, to show that the audio thread does not need it."""
    number = 1
    while True:
        number = number * 3 % 1000003


def _play(arguments: argparse.Namespace, log: Log) -> None:
    sys.setswitchinterval(_SWITCH_S)
    load_libjack()
    from jackdaw.bridge.control import Bridge
    from jackdaw.bridge.timebase import Timebase

    bridge = Bridge(
        arguments.session,
        server_name(arguments.server),
        client=arguments.client,
        connect=not arguments.no_connect,
        hear_from=arguments.hear_from,
        click=arguments.click,
        timebase=None if arguments.timebase is None else Timebase(*arguments.timebase),
        record=arguments.record,
        log=log,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bridge.stop())
    if arguments.debug_burn:
        threading.Thread(target=_burn, daemon=True).start()
    bridge.run()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the JACK client of one session; return the exit code."""
    names = list(sys.argv[1:] if argv is None else argv)
    log = Log("bridge", names[names.index("--session") + 1] if "--session" in names[:-1] else "jam")
    arguments = _parser(log).parse_args(names)
    if not re.fullmatch(r"[a-z0-9-]{1,32}", arguments.session):
        log.failure("usage", f"session name {arguments.session!r}: use 1 to 32 of a-z, 0-9 and -")
        return 2
    if arguments.timebase is not None:
        try:
            arguments.timebase = tempo(arguments.timebase)
        except ValueError as error:
            log.failure("usage", str(error))
            return 2
    if arguments.record is not None and arguments.record.suffix != ".flac":
        log.failure("usage", f"--record {arguments.record}: give a name that ends in .flac")
        return 2
    try:
        _play(arguments, log)
    except (ServerError, RuntimeError, OSError) as error:
        log.failure("failed", str(error))
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
