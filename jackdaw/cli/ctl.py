"""``jackdaw ctl``: steer an engine from a shell or a script.

Where only one engine runs, or has only one session, it need not be named. With ``--json`` every command prints the
engine's reply as one line of JSON. Exit codes: 0 done, 1 the engine says no or does not answer, 2 wrong usage.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jackdaw.cli import _ctl_output as output
from jackdaw.cli._errors import UserError
from jackdaw.cli._which import add_which_options, engine_client, only_session
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["register"]

_LOADING_S = 120.0
_TRY_S = 0.2
_USAGE = {"bad value", "unsafe", "unknown op", "malformed"}

Action = Callable[[ControlClient, argparse.Namespace], dict[str, Any]]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("ctl", help="steer an engine", description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    common = argparse.ArgumentParser(add_help=False)
    add_which_options(common)
    common.add_argument("--json", action="store_true", help="print replies as JSON, one a line")

    def add(name: str, action: Action, words: str, *, session: bool = True) -> argparse.ArgumentParser:
        leaf = actions.add_parser(name, parents=[common], help=words, description=words)
        leaf.set_defaults(run=run, do=action, of_session=session)
        return leaf

    add("list", lambda client, _: client.ask("list"), "list the open sessions", session=False)
    add("models", lambda client, _: client.ask("models"), "list the models that the engine knows", session=False)
    add("tree", lambda client, _: client.ask("tree"), "list the parameters", session=False)
    opening = add("open", _open, "open a session and wait until its model is loaded", session=False)
    opening.add_argument("name", metavar="NAME")
    opening.add_argument("--model", help="which model plays (default: tiny)")
    opening.add_argument("--seed", type=int, help="equal seed, equal music (default: 0)")
    opening.add_argument("--hear", choices=["aligned", "newest"], help="how it hears (default: by model)")
    opening.add_argument("--floor-ms", type=float, metavar="MS", help="least music kept ready")
    opening.add_argument("--ceiling-ms", type=float, metavar="MS", help="most music kept ready")
    opening.add_argument("--lease-s", type=float, metavar="S", help="close by itself when unused for so long")
    add("close", lambda client, _: client.tell("close"), "close the session")
    prompt = add("prompt", _prompt, "replace the prompts; none at all sets the model free")
    prompt.add_argument("text", nargs="*", metavar="TEXT", help="style in words")
    prompt.add_argument("--audio", action="append", default=[], metavar="FILE", help="style by example, may repeat")
    prompt.add_argument(
        "--weight", action="append", default=[], type=float, help="of each prompt in turn (default: 1), may repeat"
    )
    setting = add("set", _set, "change parameters")
    setting.add_argument("setting", nargs="+", metavar="NAME=VALUE")
    reset = add("reset", _reset, "let the model forget what it played")
    reset.add_argument("--seed", type=int, help="start from this seed (default: the session's)")
    reset.add_argument("--bar", action="store_true", help="at the next bar line, if a clock rolls")
    tap = add("tap", _tap, "tap the beat: twice or more, with Enter; ends with the input (Ctrl-D)")
    tap.add_argument("--beats-per-bar", type=int, default=4, metavar="N", help="2 to 12 (default: 4)")
    transport = add("transport", _transport, "roll at a tempo from the first beat of a bar, or stop")
    transport.add_argument("bpm", type=float, nargs="?", metavar="BPM", help="30 to 300; without it: stop")
    transport.add_argument("--beats-per-bar", type=int, default=4, metavar="N", help="2 to 12 (default: 4)")
    mark = add("mark", lambda client, given: client.tell("mark", text=given.text), "mark what is heard now")
    mark.add_argument("text", metavar="TEXT", help="what a recording of the jam calls it")
    record = add("record", _record, "record into a FLAC file on the engine's machine; without FILE: end recording")
    record.add_argument("file", nargs="?", metavar="FILE.flac")
    listen = add("listen", _listen, "hear a file round and round in the place of the input; without FILE: the input")
    listen.add_argument("file", nargs="?", metavar="FILE")
    add("status", lambda client, _: client.tell("status"), "show how the session is doing")
    watch = add("watch", _watch, "show telemetry as it comes, until Ctrl-C", session=False)
    watch.add_argument("--count", type=int, metavar="N", help="end after so many messages")
    add("stop", lambda client, _: client.ask("stop"), "let the engine fade out and end", session=False)


def run(arguments: argparse.Namespace) -> int:
    """Ask the engine, and print what it replies."""
    try:
        with engine_client(arguments) as client:
            if arguments.of_session:
                client.session = arguments.session or only_session(client)
            reply = _when_loaded(lambda: arguments.do(client, arguments))
    except ControlError as error:
        raise UserError(str(error), code=2 if error.code in _USAGE else 1) from error
    if arguments.json and reply:
        output.as_json(reply)
    elif reply:
        output.as_text(arguments.action, reply)
    return 0


def _when_loaded(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask again while the model is loading."""
    deadline = time.monotonic() + _LOADING_S
    while True:
        try:
            return ask()
        except ControlError as error:
            if error.code != "loading" or time.monotonic() > deadline:
                raise
            time.sleep(_TRY_S)


def _open(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    wanted = ("model", "seed", "hear", "floor_ms", "ceiling_ms", "lease_s")
    given = {name: getattr(arguments, name) for name in wanted if getattr(arguments, name) is not None}
    reply = client.ask("open", session=arguments.name, **given)
    deadline = time.monotonic() + _LOADING_S
    while reply["phase"] == "loading" and time.monotonic() < deadline:
        time.sleep(_TRY_S)
        reply = client.ask("attach", session=arguments.name)
    if reply["phase"] != "ready":
        raise ControlError(f"session {arguments.name!r}: {reply['error'] or 'its model is still loading'}", "failed")
    return reply


def _path(arguments: argparse.Namespace, file: str) -> str:
    """Return the path as the engine's machine has it."""
    if not arguments.connect:
        return str(Path(file).resolve())
    if not file.startswith("/"):
        raise UserError(f"{file}: give the absolute path of a file on the engine's machine", code=2)
    return file


def _prompt(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    prompts: list[dict[str, Any]] = [{"text": text} for text in arguments.text]
    prompts += [{"audio": _path(arguments, file)} for file in arguments.audio]
    weights = arguments.weight
    if len(weights) > len(prompts):
        raise UserError(f"{len(weights)} weights for {len(prompts)} prompts: give one each", code=2)
    for weight in weights:
        if not 0.0 <= weight <= 1000.0:
            raise UserError(f"--weight {weight:g}: give a number from 0 to 1000", code=2)
    scale = max([1.0, *weights])  # only proportions matter: the largest is 1
    for prompt, weight in zip(prompts, [*weights, *[1.0] * (len(prompts) - len(weights))], strict=True):
        prompt["weight"] = weight / scale
    return client.prompt(prompts)


def _set(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    values = {}
    for setting in arguments.setting:
        name, _, number = setting.partition("=")
        try:
            values[name] = float(number)
        except ValueError:
            raise UserError(f"{setting}: give NAME=VALUE, with a number", code=2) from None
    return client.tell("set", values=values)


def _reset(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    seed = {} if arguments.seed is None else {"seed": arguments.seed}
    return client.tell("reset", **seed, **({"at_bar": True} if arguments.bar else {}))


def _tap(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    reply: dict[str, Any] = {}
    for _ in sys.stdin:
        reply = client.tell("tap", beats_per_bar=arguments.beats_per_bar)
        if reply["bpm"] is not None and not arguments.json:
            print(f"{reply['bpm']:.1f} bpm", flush=True)
    return reply


def _transport(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    bpm = arguments.bpm
    return client.tell(
        "transport",
        bpm=120.0 if bpm is None else bpm,
        beat=0.0,
        beats_per_bar=arguments.beats_per_bar,
        rolling=bpm is not None,
    )


def _record(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    return client.tell("record", **({"path": _path(arguments, arguments.file)} if arguments.file else {}))


def _listen(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    return client.tell("listen", **({"path": _path(arguments, arguments.file)} if arguments.file else {}))


def _watch(client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    topic = None if arguments.session is None else f"session/{arguments.session}"
    left = arguments.count
    for heard, told in client.telemetry():
        if heard == "engine" if topic is None and not arguments.json else topic not in (None, heard):
            continue
        output.telemetry(heard, told, json=arguments.json)
        left = None if left is None else left - 1
        if left == 0:
            break
    return {}
