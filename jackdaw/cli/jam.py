"""``jackdaw jam``: the engine and the JACK client, kept alive, with a status line.

The supervisor starts two child processes, the engine and the bridge, and starts either again when it dies; they find
each other through the session's shared memory. Ctrl-C fades out, finishes the recording and stops both; a second Ctrl-C
does not wait. Under a session manager (``NSM_URL``) the jam is kept where the manager says, and comes back from there.
"""

import argparse
import contextlib
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from jackdaw.bridge.server import PrivateServer, ServerError, find_server
from jackdaw.cli._children import Child, log_path
from jackdaw.cli._errors import UserError
from jackdaw.cli._keeper import Keeper
from jackdaw.cli._markers import Markers
from jackdaw.cli._options import add_model_options, knobs, model_name, osc_port, prompts
from jackdaw.cli._status import StatusLine, summary
from jackdaw.engine import presets
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["register"]

_POLL_S = 0.1
_NO_SERVER = (
    "JACK server{name} not running: start one with `jackd -d alsa` (or PipeWire with its JACK), "
    "or run `jackdaw jam --private-server`"
)


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("jam", help="play live through JACK", description=__doc__.splitlines()[0])
    add_model_options(parser)
    parser.add_argument("--seconds", type=float, help="stop after so many seconds of music (default: play on)")
    parser.add_argument("--record", metavar="FILE.flac", help="record what is played, with markers in FILE.mid")
    parser.add_argument("--session", default="jam", help="name of the session (default: jam)")
    parser.add_argument("--target-ms", type=float, default=200.0, help="music kept ready, 20..2000 ms (default: 200)")
    parser.add_argument("--osc", type=osc_port, metavar="PORT", help="speak OSC on this port of 127.0.0.1")
    parser.add_argument("--preset", metavar="NAME", help="play as a preset says; other options come on top")
    parser.add_argument("--hear-file", metavar="FILE", help="hear a file round and round in the place of the input")
    server = parser.add_argument_group("JACK")
    server.add_argument("--server", help="name of the JACK server (default: the default server)")
    server.add_argument(
        "--private-server",
        nargs="?",
        const="always",
        default="never",
        choices=["always", "if-needed", "never"],
        help="start a JACK server for this jam and stop it after; if-needed: only when none is running",
    )
    server.add_argument("--rate", type=int, default=48000, help="sample rate of a private server (default: 48000)")
    server.add_argument("--period", type=int, default=256, help="frames per period of a private server (default: 256)")
    server.add_argument(
        "--hear-from", metavar="CLIENT", help="hear this JACK client (default: the first capture ports)"
    )
    server.add_argument(
        "--timebase",
        metavar="BPM[/BEATS]",
        help="lead JACK's transport as its timebase master: beats a minute, and a bar (4)",
    )
    server.add_argument("--click", action="store_true", help="hear the metronome: connect the port click, too")
    server.add_argument("--no-connect", action="store_true", help="do not connect to the system's ports")
    parser.set_defaults(run=run, client=None)


def _check(arguments: argparse.Namespace) -> None:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", arguments.session):
        raise UserError(f"session name {arguments.session!r}: use 1 to 32 of a-z, 0-9 and -", code=2)
    if arguments.seconds is not None and not 0 < arguments.seconds <= 86400 * 7:
        raise UserError(f"--seconds {arguments.seconds:g}: give more than 0 and at most a week", code=2)
    if not 20 <= arguments.target_ms <= 2000:
        raise UserError(f"--target-ms {arguments.target_ms:g}: give 20 to 2000", code=2)
    if arguments.record and not arguments.record.endswith(".flac"):
        raise UserError(f"--record {arguments.record}: recordings are FLAC; give a name that ends in .flac", code=2)
    if arguments.hear_file and not Path(arguments.hear_file).is_file():
        raise UserError(f"--hear-file {arguments.hear_file}: there is no such file", code=2)
    for path in [] if not arguments.record else [Path(arguments.record), Path(arguments.record).with_suffix(".mid")]:
        if path.exists():
            raise UserError(f"--record {arguments.record}: there is {path}; move it, or give another name", code=2)


@contextlib.contextmanager
def _server(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the name of the JACK server to play through; a private one lives as long as the context."""
    running = None if arguments.private_server == "always" else find_server(arguments.server)
    if running is not None:
        yield running
        return
    if arguments.private_server == "never":
        raise UserError(_NO_SERVER.format(name=f" {arguments.server!r}" if arguments.server else ""))
    with PrivateServer(rate=arguments.rate, period=arguments.period) as private:
        print(f"private JACK server {private.name!r}: {private.driver}, {arguments.rate} Hz, {arguments.period} frames")
        yield private.name


def _engine_command(arguments: argparse.Namespace) -> list[str]:
    command = ["-m", "jackdaw.engine", "--session", arguments.session, "--target-ms", f"{arguments.target_ms:g}"]
    if arguments.preset is not None:
        try:
            kept_in = presets.path_of(arguments.preset)
            arguments.model = arguments.model or presets.read(kept_in).model
        except (ValueError, OSError) as error:
            raise UserError(f"--preset: {error}", code=2) from error
        command += ["--preset", str(kept_in)]
    command += ["--model", model_name(arguments)]
    if arguments.seed is not None:
        command += ["--seed", str(arguments.seed)]
    texts, audio = prompts(arguments)
    for text, weight in texts:
        command += ["--prompt", f"{text}:{weight:g}"]
    for path, weight in audio:
        command += ["--audio-prompt", f"{path}:{weight:g}"]
    if arguments.osc is not None:
        command += ["--osc", str(arguments.osc)]
    if arguments.hear_file:
        command += ["--listen", str(Path(arguments.hear_file).resolve())]
    for name, value in knobs(arguments).items():
        command += ["--set", f"{name}={value:g}"]
    return command


def _bridge_command(arguments: argparse.Namespace, server: str) -> list[str]:
    command = ["-m", "jackdaw.bridge", "--session", arguments.session, "--server", server]
    if arguments.client is not None:
        command += ["--client", arguments.client]
    if arguments.hear_from:
        command += ["--hear-from", arguments.hear_from]
    if arguments.timebase:
        command += ["--timebase", arguments.timebase]
    if arguments.click:
        command.append("--click")
    if arguments.no_connect:
        command.append("--no-connect")
    if arguments.record:
        command += ["--record", arguments.record]
    return command


def run(arguments: argparse.Namespace) -> int:
    """Play until the time is up or Ctrl-C."""
    with contextlib.ExitStack() as stack:
        keeper = Keeper.found()
        if keeper is not None:
            stack.enter_context(keeper.manager)
            keeper.place_in(arguments)
        try:
            return _run(arguments, keeper)
        except UserError as error:
            if keeper is not None:
                keeper.give_up(str(error))
            raise


def _run(arguments: argparse.Namespace, keeper: Keeper | None) -> int:
    _check(arguments)
    engine_command = _engine_command(arguments)
    stops = 0

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stops
        stops += 1

    started = time.monotonic()
    try:
        with _server(arguments) as server:
            engine = Child("engine", arguments.session, engine_command)
            bridge = Child("bridge", arguments.session, _bridge_command(arguments, server))
            previous = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
            last: dict[str, object] = {}
            markers = Markers(arguments.preset and Path(arguments.preset).stem)
            try:
                with StatusLine() as line:
                    engine.start()
                    bridge.start()
                    while not stops:
                        time.sleep(_POLL_S)
                        engine.keep_alive()
                        bridge.keep_alive()
                        status = _ask(arguments.session)
                        last = status or last
                        markers.look(status)
                        line.show(status, restarts=engine.restarts + bridge.restarts)
                        if keeper is not None:
                            keeper.look(status)
                        if arguments.seconds and _played(last) >= arguments.seconds:
                            break
            finally:
                forced = lambda: stops > 1  # noqa: E731
                markers.look(_ask(arguments.session))
                bridge.stop(forced)
                engine.stop(forced)
                if arguments.record:
                    _write(markers, arguments.session)
                for number, handler in previous.items():
                    signal.signal(number, handler)
            print(summary(last, started, record=arguments.record))
    except ServerError as error:
        raise UserError(str(error)) from error
    return 0


def _write(markers: Markers, session: str) -> None:
    """Write the markers of what was recorded; if that fails, the jam still ends as it does."""
    try:
        markers.write(log_path(session, "bridge"))
    except OSError as error:
        print(f"the recording has no markers: {error}", flush=True)


def _ask(session: str) -> dict[str, object] | None:
    """Return the engine's status, or None while there is no engine to answer."""
    try:
        with contextlib.closing(ControlClient(session, session, timeout=0.5)) as control:
            return control.status()
    except ControlError:
        return None


def _played(status: dict[str, object]) -> float:
    value = status.get("played_s", 0.0)
    return float(value) if isinstance(value, int | float) else 0.0
