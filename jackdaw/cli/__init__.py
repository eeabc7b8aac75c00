"""The ``jackdaw`` command: one module per sub-command, nothing imports this package.

Exit codes: 0 done, 1 failed (with a message that says what to do), 2 wrong usage.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from jackdaw import __version__
from jackdaw.cli import ctl, doctor, jam, keys, learn, midi, models, preset, render, serve, train
from jackdaw.cli._errors import UserError

__all__ = ["main"]

_COMMANDS = (jam, render, serve, ctl, preset, learn, midi, keys, models, doctor, train)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jackdaw", description="A live music model as an instrument: it plays along through JACK, and hears you."
    )
    parser.add_argument("--version", action="version", version=f"jackdaw {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; None takes them from the process.

    Returns
    -------
    int
        The exit code.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    if not given and os.environ.get("NSM_URL"):
        given = ["jam"]  # session managers start programs by their bare names
    arguments = _parser().parse_args(given)
    try:
        return int(arguments.run(arguments))
    except UserError as error:
        print(f"jackdaw: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("jackdaw: stopped", file=sys.stderr)
        return 130
