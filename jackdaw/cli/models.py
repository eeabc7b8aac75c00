"""``jackdaw models``: which models there are, and whether they can play here."""

import argparse

from rich.console import Console
from rich.table import Table

from jackdaw.engine.weights.registry import MODELS

__all__ = ["register"]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("models", help="list the models", description=__doc__.splitlines()[0])
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Print a table of the models."""
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "what it is", "weights", "size"):
        table.add_column(heading)
    for entry in MODELS.values():
        megabytes = sum(path.stat().st_size for path in entry.weight_files() if path.is_file()) / 1e6
        missing = [path.name for path in entry.weight_files() if not path.is_file()]
        state = (
            "none needed" if not entry.weight_files() else f"missing: {', '.join(missing)}" if missing else "bundled"
        )
        table.add_row(entry.name, entry.description, state, f"{megabytes:.1f} MB" if megabytes else "")
    Console().print(table)
    return 0
