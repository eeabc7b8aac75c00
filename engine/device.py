"""The device thread: the one thread that steps all models, whoever's sessions they are.

Each turn it looks at every player. Of those whose step is due, the one with the quickest step comes first, together
with all others of its model, in one batch: quick models keep up beside a slow one, which gets the rest of the time. A
session that freewheels is stepped by itself, always through ``model.step``, when nothing live is due. Nobody waits for
longer than half a second. If a batch could be larger in a few milliseconds and nobody in it is short of music, the
device waits for that.

A step that fails fails its own session: a batch that fails is stepped again one by one, since states are values.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from jackdaw.engine._player import Player
from jackdaw.engine.models.contract import Audio, Item, step_all

__all__ = ["Device"]

_IDLE_S = 0.05
_GATHER_S = 0.004
_PATIENCE_S = 0.5


class Device:
    """See the module.

    Parameters
    ----------
    on_end
        Called on the device thread with each player whose music has ended.
    """

    def __init__(self, on_end: Callable[[Player], None]) -> None:
        self.error: BaseException | None = None
        self._on_end = on_end
        self._players: tuple[Player, ...] = ()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._due_since: dict[Player, float] = {}
        self._stepped: dict[Player, float] = {}
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def add(self, player: Player) -> None:
        """Step this one from now on, until it has ended."""
        player.on_letter = self._wake.set
        with self._lock:
            self._players = (*self._players, player)
        self._wake.set()

    def stop(self, timeout: float | None = None) -> None:
        """Step nobody any more; players are to have ended before."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    # ---- device thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
        except BaseException as error:
            self.error = error
            raise

    def _turn(self) -> None:
        now = time.monotonic()
        self._wake.clear()
        waits = {player: wait for player in self._players if (wait := self._look(player, now)) is not None}
        due = [player for player, wait in waits.items() if wait <= 0]
        for player in due:
            self._due_since.setdefault(player, now)
        rest = min((wait for wait in waits.values() if wait > 0), default=_IDLE_S)
        if not due:
            self._wake.wait(rest)
            return
        group = self._choose(due, now)
        if (pause := self._gathering(group, waits, now)) > 0:
            self._wake.wait(min(pause, rest))
            return
        self._step(group)

    def _look(self, player: Player, now: float) -> float | None:
        """Return when the player's next step is due; None if it has ended."""
        try:
            wait = player.look(now)
        except Exception as error:  # whatever breaks in one session, the others play on
            self._fail(player, error)
            wait = _IDLE_S
        if not player.ended:
            return wait
        with self._lock:
            self._players = tuple(other for other in self._players if other is not player)
        self._due_since.pop(player, None)
        self._stepped.pop(player, None)
        self._on_end(player)
        return None

    def _choose(self, due: list[Player], now: float) -> list[Player]:
        """Return who is stepped now."""
        first = min(due, key=lambda player: self._due_since[player])
        if now - self._due_since[first] < _PATIENCE_S:
            first = min(due, key=self._rank)
        if first.is_alone or not hasattr(first.model, "step_many"):
            return [first]
        return [player for player in due if player.model is first.model and not player.is_alone]

    def _rank(self, player: Player) -> tuple[bool, float, float]:
        """Return whose turn it is, the least first."""
        cost = 0.0 if player.is_alone else player.cost
        return player.is_alone, cost, self._stepped.get(player, 0.0)

    def _gathering(self, group: list[Player], waits: dict[Player, float], now: float) -> float:
        """Return for how long the group had better wait for others, in seconds; 0: not at all."""
        model = group[0].model
        if group[0].is_alone or not hasattr(model, "step_many"):
            return 0.0  # there is nothing to gather for
        left = min(self._due_since[player] for player in group) + _GATHER_S - now
        soon = [
            wait
            for player, wait in waits.items()
            if player.model is model and 0 < wait <= left and not player.is_alone and player.stream is not None
        ]
        if not soon or min(player.margin for player in group) < 2 * _GATHER_S:
            return 0.0
        return max(soon)

    def _step(self, group: list[Player]) -> None:
        begun: list[tuple[Player, Item]] = []
        for player in group:
            self._due_since.pop(player, None)
            try:
                begun.append((player, player.begin()))
            except Exception as error:
                self._fail(player, error)
        if not begun:
            return
        start = time.perf_counter()
        try:
            made = step_all(begun[0][0].model, [item for _, item in begun])
        except Exception as error:
            if len(begun) == 1:
                self._fail(begun[0][0], error)
            else:
                for player, item in begun:
                    self._step_alone(player, item)
            return
        seconds = time.perf_counter() - start
        for (player, _), (state, audio) in zip(begun, made, strict=True):
            self._end(player, state, audio, seconds)

    def _step_alone(self, player: Player, item: Item) -> None:
        start = time.perf_counter()
        try:
            state, audio = player.model.step(*item)
        except Exception as error:
            self._fail(player, error)
        else:
            self._end(player, state, audio, time.perf_counter() - start)

    def _end(self, player: Player, state: Any, audio: Audio, seconds: float) -> None:
        self._stepped[player] = time.monotonic()
        try:
            player.end(state, audio, seconds)
        except Exception as error:
            self._fail(player, error)

    def _fail(self, player: Player, error: Exception) -> None:
        self._due_since.pop(player, None)
        player.fail(error)
