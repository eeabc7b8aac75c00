"""How ``jackdaw ctl`` prints replies: JSON lines for scripts, tables for eyes."""

import base64
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from jackdaw.cli._status import text

__all__ = ["as_json", "as_text", "telemetry"]

_ENVELOPE = {"v", "id", "ok"}


def _plain(value: object) -> str:
    """Return what JSON has no type for: bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"no JSON for {type(value).__name__}")


def as_json(reply: dict[str, Any]) -> None:
    """Print a reply as one line, without the fields of every message."""
    print(json.dumps({key: value for key, value in reply.items() if key not in _ENVELOPE}, default=_plain), flush=True)


def as_text(action: str, reply: dict[str, Any]) -> None:
    """Print a reply for eyes."""
    show = _SHOW.get(action)
    if show is not None:
        show(reply)


def telemetry(topic: str, told: dict[str, Any], *, json: bool) -> None:
    """Print one telemetry message."""
    if json:
        as_json({"topic": topic, **told})
    else:
        print(f"{topic.removeprefix('session/')}: {told['phase']}: {text(told)}", flush=True)


def _table(rows: list[dict[str, Any]], *columns: str) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    Console(soft_wrap=True).print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return "" if value is None else str(value)


def _pairs(values: dict[str, Any]) -> None:
    for name, value in values.items():
        print(f"{name:24} {_cell(value)}")


def _prompts(reply: dict[str, Any]) -> None:
    if not reply["prompts"]:
        print("no prompts: the model is free")
    for prompt in reply["prompts"]:
        print(f"{prompt['weight']:g} {prompt['name']}")


_SHOW: dict[str, Callable[[dict[str, Any]], None]] = {
    "list": lambda reply: _table(reply["sessions"], "session", "model", "phase", "reader"),
    "models": lambda reply: _table(reply["models"], "name", "installed", "summary"),
    "tree": lambda reply: _table(reply["parameters"], "name", "minimum", "maximum", "default", "unit", "taper", "help"),
    "open": lambda reply: print(f"{reply['model']} is ready at {reply['segment']}"),
    "prompt": _prompts,
    "set": lambda reply: _pairs(reply["values"]),
    "listen": lambda reply: print(f"hearing {reply['path'] or 'the input'}"),
    "record": lambda reply: print(f"recording {reply['path']}" if reply["path"] else "not recording"),
    "status": lambda reply: _pairs(reply["status"]),
}
