"""``jackdaw keys``: keys for clients on other machines."""

import argparse
from pathlib import Path

from jackdaw.cli._errors import UserError
from jackdaw.engine.protocol.curve import make_keys
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["register"]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "keys", help="make keys for a client on another machine", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the engine's keys; made if it is missing")
    parser.add_argument("--client", required=True, metavar="NAME", help="what to call the client")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the keys and say where they belong."""
    try:
        path = make_keys(arguments.folder, arguments.client)
    except ControlError as error:
        raise UserError(str(error), code=2) from error
    except OSError as error:
        raise UserError(f"keys {arguments.folder}: {error}") from error
    print(f"{path}: move it to the client, and keep it secret (jackdaw ctl --connect tcp://... --keys {path.name})")
    print(f"{arguments.folder}: what `jackdaw serve --listen tcp://... --keys {arguments.folder}` reads")
    return 0
