"""``python -m jackdaw.engine``: an engine with one session, both of one name, until SIGINT or SIGTERM.

Writes JSON lines to stderr (see :mod:`jackdaw.log`). Exit codes: 0 stopped, 1 failed, 2 wrong usage; in both
latter cases the last line has level ``error`` and a text for the user.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from jackdaw.log import Log

__all__ = ["main"]


def _parser(log: Log) -> argparse.ArgumentParser:
    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            log.failure("usage", message)
            sys.exit(2)

    parser = Parser(prog="python -m jackdaw.engine", description="An engine with one session.")
    parser.add_argument("--session", default="jam", help="name of the session, and of the engine")
    parser.add_argument("--model", default="tiny", help="which model plays: NAME or NAME@CHECKPOINT")
    parser.add_argument("--seed", type=int, help="equal seed, equal music")
    parser.add_argument("--target-ms", type=float, default=200.0, help="least music kept ready, 20..2000")
    parser.add_argument("--hear", choices=["aligned", "newest"], help="how it hears (default: by model)")
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT[:WEIGHT]")
    parser.add_argument("--audio-prompt", action="append", default=[], metavar="FILE[:WEIGHT]")
    parser.add_argument("--osc", type=int, help="speak OSC on this port of loopback")
    parser.add_argument("--preset", metavar="NAME", help="play as a preset says; other options come on top")
    parser.add_argument("--listen", metavar="FILE", help="hear a file round and round in the place of the input")
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


def _play(arguments: argparse.Namespace, log: Log, stop: threading.Event) -> None:
    from jackdaw.engine import presets
    from jackdaw.engine.options import Options
    from jackdaw.engine.prompts import parse_prompt
    from jackdaw.engine.serve import First, serve
    from jackdaw.engine.weights.registry import find_model

    if not 20.0 <= arguments.target_ms <= 2000.0:
        raise ValueError(f"--target-ms {arguments.target_ms:g}: give 20 to 2000")
    find_model(arguments.model)
    preset = None if arguments.preset is None else presets.read(presets.path_of(arguments.preset))
    prompts = [parse_prompt(text) for text in arguments.prompt]
    prompts += [parse_prompt(path, audio=True) for path in arguments.audio_prompt]
    options = Options(
        seed=arguments.seed if arguments.seed is not None else preset.seed if preset else 0,
        floor_s=arguments.target_ms / 1e3,
        hear=arguments.hear,
        parameters={**(preset.parameters if preset else {}), **_values(arguments.set)},
        prompts=prompts or (preset.prompts if preset else ()),
        listen=arguments.listen,
        state=preset.state if preset else None,
        state_hash=preset.model_hash if preset else None,
    )
    first = First(session=arguments.session, model=arguments.model, options=options)
    serve(arguments.session, log=log, stop=stop, osc=arguments.osc, first=first)


def main(argv: Sequence[str] | None = None) -> int:
    """Run an engine with one session; return the exit code."""
    names = list(sys.argv[1:] if argv is None else argv)
    log = Log("engine", names[names.index("--session") + 1] if "--session" in names[:-1] else "jam")
    arguments = _parser(log).parse_args(names)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    log.info("start", pid=os.getpid(), model=arguments.model, folder=str(Path.cwd()))
    try:
        _play(arguments, log, stop)
    except ValueError as error:
        log.failure("usage", str(error))
        return 2
    except (RuntimeError, OSError) as error:
        log.failure("failed", str(error))
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
