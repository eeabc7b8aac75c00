"""``python -m jackdaw.engine``: the engine of one session, until SIGINT or SIGTERM.

Writes JSON lines to stderr (see :mod:`jackdaw.engine.log`). Exit codes: 0 stopped, 1 failed, 2 wrong usage; in both
latter cases the last line has level ``error`` and a text for the user.
"""

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from jackdaw.engine.log import Log

__all__ = ["main"]

_STOP_POLL_S = 0.1
_SWITCH_S = 0.001
"""How long the engine thread may wait for Python's lock while another thread computes, e.g. embeds a prompt."""


def _parser(log: Log) -> argparse.ArgumentParser:
    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            log.failure("usage", message)
            sys.exit(2)

    parser = Parser(prog="python -m jackdaw.engine", description="The engine of one session.")
    parser.add_argument("--session", default="jam", help="name of the session")
    parser.add_argument("--model", default="tiny", help="which model plays")
    parser.add_argument("--seed", type=int, default=0, help="equal seed, equal music")
    parser.add_argument("--target-ms", type=float, default=200.0, help="least music kept ready, 20..2000")
    parser.add_argument("--hear", choices=["aligned", "newest"], help="how it hears (default: by model)")
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT[:WEIGHT]")
    parser.add_argument("--audio-prompt", action="append", default=[], metavar="FILE[:WEIGHT]")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="turn a knob")
    return parser


def _values(settings: Sequence[str]) -> dict[str, float]:
    from jackdaw.engine.parameters import check_value

    values = {}
    for setting in settings:
        name, equals, number = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: give NAME=VALUE")
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"--set {setting}: {number!r} is not a number") from None
        values[name] = check_value(name, value)
    return values


def _play(arguments: argparse.Namespace, log: Log, stop: threading.Event) -> int:
    from jackdaw.dsp import SegmentWriter
    from jackdaw.engine.control_server import ControlServer
    from jackdaw.engine.prompts import Prompts, parse_prompt
    from jackdaw.engine.session import Options, Session
    from jackdaw.engine.weights.registry import MODELS

    if not 20.0 <= arguments.target_ms <= 2000.0:
        raise ValueError(f"--target-ms {arguments.target_ms:g}: give 20 to 2000")
    if arguments.model not in MODELS:
        raise ValueError(f"no model named {arguments.model!r}; there are: {', '.join(MODELS)}")
    given = [parse_prompt(text) for text in arguments.prompt]
    given += [parse_prompt(path, audio=True) for path in arguments.audio_prompt]
    values = _values(arguments.set)
    entry = MODELS[arguments.model]
    writer = SegmentWriter.open(arguments.session)
    try:
        model = entry.load()
        prompts = Prompts(model)
        options = Options(
            seed=arguments.seed,
            floor_s=arguments.target_ms / 1e3,
            hear=arguments.hear or entry.hear,
            parameters=values,
            style=prompts.style(given),
        )
        session = Session(model, writer, options, log)
        server = ControlServer(session, arguments.session, prompts, given, on_stop=stop.set)
    except BaseException:
        writer.close()
        raise
    sys.setswitchinterval(_SWITCH_S)
    session.start()
    server.start()
    while not session.wait_until_ready(_STOP_POLL_S) and session.running and not stop.is_set():
        pass
    gc.freeze()  # what is loaded stays: looking through it for garbage takes 100 ms
    while not stop.wait(_STOP_POLL_S) and session.running:
        pass
    session.stop()
    server.close()
    error = session.error or server.error
    if error is not None:
        raise RuntimeError(f"the engine broke down: {error!r}") from error
    log.info("stopped")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the engine of one session; return the exit code."""
    names = list(sys.argv[1:] if argv is None else argv)
    log = Log("engine", names[names.index("--session") + 1] if "--session" in names[:-1] else "jam")
    arguments = _parser(log).parse_args(names)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    log.info("start", pid=os.getpid(), model=arguments.model, folder=str(Path.cwd()))
    try:
        return _play(arguments, log, stop)
    except ValueError as error:
        log.failure("usage", str(error))
        return 2
    except (RuntimeError, OSError) as error:
        log.failure("failed", str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
