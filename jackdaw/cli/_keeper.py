"""Keeps a jam for the session manager that started it: as a preset with the model's state, where the manager says."""

import argparse
import contextlib
from typing import Any

from jackdaw.cli._errors import UserError
from jackdaw.cli._nsm import BAD_PROJECT, GENERAL, Manager, Place
from jackdaw.cli.preset import kept
from jackdaw.engine import presets
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["Keeper"]

_SLOW_S = 30.0


class Keeper:
    """See the module. The supervisor's loop only.

    Parameters
    ----------
    manager
        Who asks.
    place
        Where the jam is kept.
    """

    def __init__(self, manager: Manager, place: Place) -> None:
        self.manager = manager
        self.place = place
        self._is_open = False
        self._saved_revision: int | None = None

    @classmethod
    def found(cls) -> "Keeper | None":
        """Return the keeper for the manager that ``NSM_URL`` names; None if it names none, or that one is silent.

        Raises
        ------
        UserError
            If ``NSM_URL`` is no address, or the manager refuses us.
        """
        manager = Manager.from_environment()
        if manager is None:
            return None
        try:
            place = manager.announce()
        except BaseException:
            manager.close()
            raise
        if place is None:
            manager.close()
            print("no session manager answers at NSM_URL: playing without")
            return None
        return cls(manager, place)

    def place_in(self, arguments: argparse.Namespace) -> None:
        """Let the jam play what was kept, under the names that the manager gave."""
        arguments.session, arguments.client = self.place.session, self.place.client
        if self.place.preset.exists():
            arguments.preset = str(self.place.preset)

    def look(self, status: dict[str, Any] | None) -> None:
        """Do what the manager asks for, and tell it how things are; `status` is the engine's, if it answers."""
        if status is not None and status["phase"] == "ready":
            revision = status["revision"]
            if not self._is_open:
                self._is_open, self._saved_revision = True, revision
                self.manager.opened()
                self.manager.message(f"{status['model']} plays as {self.place.client}")
            self.manager.tell_dirty(revision != self._saved_revision)
        self.manager.look(self._save)

    def _save(self) -> None:
        try:
            with contextlib.closing(ControlClient(self.place.session, self.place.session, timeout=_SLOW_S)) as client:
                revision = client.status()["revision"]
                preset = kept(client, state=True)
        except ControlError as error:
            raise UserError(str(error)) from error
        presets.write(self.place.preset, preset)
        self._saved_revision = revision

    def give_up(self, text: str) -> None:
        """Say why the jam cannot be opened, if it has not been."""
        if not self._is_open:
            self.manager.refuse_open(BAD_PROJECT if self.place.preset.exists() else GENERAL, text)
