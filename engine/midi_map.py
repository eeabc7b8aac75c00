"""Which controller turns which parameter: a table that all sessions of an engine share, kept in a TOML file.

The file is ``$XDG_CONFIG_HOME/jackdaw/midi.toml``::

    [controllers]
    temperature = { cc = 74, channel = 1 }
    guidance = { cc14 = 16 }
    top_k = { nrpn = 300 }

:class:`MidiMap` is for any thread: readers get a mapping that is exchanged whole, never changed.
"""

import os
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path

from jackdaw.engine.controllers import Controller
from jackdaw.engine.parameters import PARAMETERS

__all__ = ["MidiMap", "map_path"]

_HEAD = "# Which MIDI controller turns which parameter; `jackdaw learn PARAMETER` writes this.\n\n[controllers]\n"


def map_path() -> Path:
    """Return where the map is kept."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "jackdaw" / "midi.toml"


class MidiMap:
    """See the module.

    Parameters
    ----------
    path
        Of the file, which need not be there yet; None keeps nothing.

    Raises
    ------
    ValueError
        If the file is no such map; the text names the file and the entry.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._now: dict[str, Controller] = {}
        if path is not None and path.exists():
            self._now = _load(path)

    @property
    def now(self) -> Mapping[str, Controller]:
        """The controller of each parameter that has one."""
        return self._now

    def bind(self, parameter: str, controller: Controller | None) -> None:
        """Let a controller, which then turns nothing else, turn a parameter; None: let none turn it.

        Raises
        ------
        ValueError
            If there is no such parameter.
        OSError
            If the file cannot be written; nothing is changed then.
        """
        if parameter not in PARAMETERS:
            raise ValueError(f"no parameter named {parameter!r}; there are: {', '.join(PARAMETERS)}")
        with self._lock:
            table = {name: it for name, it in self._now.items() if name != parameter and it != controller}
            if controller is not None:
                table[parameter] = controller
            if self.path is not None:
                _save(self.path, table)
            self._now = table


def _load(path: Path) -> dict[str, Controller]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    entries = content.pop("controllers", {})
    if content or not isinstance(entries, dict):
        raise ValueError(f"{path}: it has one table, [controllers], and nothing else")
    table = {}
    for name, entry in entries.items():
        if name not in PARAMETERS:
            raise ValueError(f"{path}: no parameter named {name!r}; there are: {', '.join(PARAMETERS)}")
        try:
            table[name] = Controller.of_table(entry)
        except ValueError as error:
            raise ValueError(f"{path}: {name}: {error}") from error
    return table


def _save(path: Path, table: Mapping[str, Controller]) -> None:
    """Write the file whole or not at all."""
    lines = []
    for name, controller in table.items():
        inner = ", ".join(f"{key} = {value}" for key, value in controller.table().items())
        lines.append(f"{name} = {{ {inner} }}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}")
    half.write_text(_HEAD + "".join(lines), encoding="utf-8")
    half.replace(path)
