"""``jackdaw serve``: an engine without sound of its own: sessions are opened by the plugin, ``jackdaw ctl``, or you."""

import argparse
import math
import signal
import threading
from pathlib import Path

from jackdaw.cli._errors import UserError
from jackdaw.cli._options import osc_port
from jackdaw.engine.protocol.address import check_name, socket_path
from jackdaw.engine.protocol.messages import ControlError
from jackdaw.log import Log

__all__ = ["register"]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "serve", help="run an engine that is steered over its socket", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--engine", default="engine", metavar="NAME", help="its name (default: engine)")
    parser.add_argument(
        "--listen", metavar="tcp://ADDRESS:PORT", help="take requests there too; telemetry is on the next port"
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FOLDER", help="let in on TCP only clients with keys; see `jackdaw keys`"
    )
    parser.add_argument("--osc", type=osc_port, metavar="PORT", help="speak OSC on this port of 127.0.0.1")
    parser.add_argument(
        "--until-unused", type=float, metavar="SECONDS", help="end when no session has been open for so long"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C, or a client stops it."""
    unused = arguments.until_unused
    if unused is not None and not (math.isfinite(unused) and 0 <= unused <= 86400):
        raise UserError(f"--until-unused {unused:g}: give seconds, 0 to 86400", code=2)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        name = check_name(arguments.engine)
        from jackdaw.engine.serve import serve

        print(f"engine {name!r} at {socket_path(name)}; Ctrl-C stops it", flush=True)
        serve(
            name,
            log=Log("engine", name),
            stop=stop,
            listen=arguments.listen,
            keys=arguments.keys,
            osc=arguments.osc,
            until_unused=unused,
        )
    except ControlError as error:
        raise UserError(str(error), code=2 if error.code in ("bad value", "unsafe") else 1) from error
    except ValueError as error:
        raise UserError(str(error), code=2) from error
    except (RuntimeError, OSError) as error:
        raise UserError(str(error)) from error
    return 0
