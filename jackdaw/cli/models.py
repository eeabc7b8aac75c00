"""``jackdaw models``: which models there are, whether they can play here, and how to fetch one that doesn't come along.

``jackdaw models download NAME`` fetches weights from the Hugging Face hub into its cache, or takes files that are there
already, and makes them known. It can be stopped and begun again at any time.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from jackdaw.cli._errors import UserError
from jackdaw.engine.weights import installed, mrt2
from jackdaw.engine.weights.hub import Hub, HubError, Listing
from jackdaw.engine.weights.registry import DOWNLOADS, MODELS

__all__ = ["register"]

_TERMS = (
    f"The weights of Magenta RealTime 2 are by Google, under {mrt2.LICENCE}: you may use, change and share them, also "
    f"commercially, if you name the authors (https://creativecommons.org/licenses/by/4.0/). What else they ask of "
    f"users stands on https://huggingface.co/{mrt2.REPOSITORY}."
)


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("models", help="list the models, or fetch one", description=__doc__.splitlines()[0])
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(metavar="ACTION")
    fetch = actions.add_parser("download", help="fetch the weights of a model")
    fetch.add_argument("name", metavar="NAME", help=f"one of: {', '.join(DOWNLOADS)}")
    fetch.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="take the files from this folder, which has them under their official names, and download nothing",
    )
    fetch.add_argument("--yes", action="store_true", help="accept the licence, and don't ask")
    fetch.set_defaults(run=download)


def run(_arguments: argparse.Namespace) -> int:
    """Print a table of the models."""
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "what it is", "weights", "size"):
        table.add_column(heading)
    for entry in MODELS.values():
        there = [path for path in entry.weight_files() if path.is_file()]
        megabytes = sum(path.stat().st_size for path in there) / 1e6
        if not entry.weights:
            state = "none needed"
        elif len(there) == len(entry.weights):
            state = "bundled" if entry.bundled else "installed"
        elif entry.bundled:
            missing = (path.name for path in entry.weight_files() if path not in there)
            state = f"missing: {', '.join(missing)}"
        else:
            state = f"jackdaw models download {entry.name}"
        table.add_row(entry.name, entry.description, state, f"{megabytes:.1f} MB" if megabytes else "")
    Console().print(table)
    return 0


def download(arguments: argparse.Namespace) -> int:
    """Fetch the weights of a model, or take them from a folder.

    Raises
    ------
    UserError
        If there is no such model to be fetched, the user declines, or it fails.
    """
    name: str = arguments.name
    if name not in DOWNLOADS:
        why = "comes with jackdaw" if name in MODELS else "is no model"
        raise UserError(f"{name} {why}; to be fetched there are: {', '.join(DOWNLOADS)}", code=2)
    console = Console(stderr=True)
    try:
        if arguments.source is None:
            place = _fetched(name, console, yes=arguments.yes)
        else:
            place = _taken(name, arguments.source, console, yes=arguments.yes)
    except (HubError, OSError, ValueError) as error:
        raise UserError(f"{name} is not installed: {error}") from error
    except KeyboardInterrupt as error:
        more = f"`jackdaw models download {name}` goes on from here"
        raise UserError(
            f"stopped; {more if arguments.source is None else 'nothing was installed'}", code=130
        ) from error
    print(f"{name} is installed in {place}; play it: jackdaw jam --model {name}")
    return 0


def _agreed(console: Console, question: str, *, yes: bool) -> None:
    """Show the licence, once, and ask.

    Raises
    ------
    UserError
        If the user declines, or there is nobody to ask.
    """
    known = installed.is_accepted(mrt2.REPOSITORY)
    if not known:
        console.print(_TERMS, highlight=False)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"{question} Nobody is there to answer: say --yes", code=2)
        try:
            answer = console.input(f"{question} \\[y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            raise UserError("nothing was installed")
    if not known:
        installed.accept_licence(mrt2.REPOSITORY)


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[str, int], Callable[[int], object]]]:
    """Yield what opens a progress bar: of a name and a size, it gives what is told how many bytes are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:

        def opened(name: str, size: int) -> Callable[[int], object]:
            task = progress.add_task(name, total=size)
            return lambda done: progress.update(task, completed=done)

        yield opened


def _fetched(name: str, console: Console, *, yes: bool) -> Path:
    """Download from the hub."""
    hub = Hub(mrt2.REPOSITORY)
    listing: Listing = hub.listing(mrt2.files(name))
    hub.check_space(listing)
    left = sum(hub.left(file) for file in listing.files.values())
    _agreed(console, f"Download {left / 1e9:.2f} GB to {hub.cache}?", yes=yes)
    paths: dict[str, Path] = {}
    checksums: dict[str, str] = {}
    with _bars(console) as bar:
        for file in listing.files.values():
            paths[file.name] = hub.fetch(listing, file.name, bar(Path(file.name).name, file.size))
            whole = len(file.digest) == 64
            checksums[file.name] = file.digest if whole else installed.sha256(paths[file.name])
    about = {"source": f"{hub.endpoint}/{mrt2.REPOSITORY}", "commit": listing.commit, "licence": mrt2.LICENCE}
    return installed.install(name, paths, checksums, about)


def _taken(name: str, folder: Path, console: Console, *, yes: bool) -> Path:
    """Make the files in a folder known."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; it should have {mrt2.files(name)[0]} and the others", code=2)
    mrt2.check_files(name, folder)
    _agreed(console, f"Use the weights in {folder}?", yes=yes)
    paths = {file: folder / file for file in mrt2.files(name)}
    checksums: dict[str, str] = {}
    with _bars(console) as bar:
        for file, path in paths.items():
            checksums[file] = installed.sha256(path, bar(path.name, path.stat().st_size))
    return installed.install(name, paths, checksums, {"source": str(folder.absolute()), "licence": mrt2.LICENCE})
