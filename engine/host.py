"""The host: all sessions of an engine on one device thread.

Threads:

device      steps every session's model and owns the writer's side of every segment (:mod:`jackdaw.engine.device`);
keeper      stamps all segments ten times a second, so that a long step does not look like a dead engine; closes
            sessions whose lease is over; lets go of models that are not used any more;
loaders     one for each session that opens: load and warm up its model, embed its prompts;
closers     one for each session that closes: wait for its music to end and its recording to be written;
any other   calls the host and its sessions.

The host knows nothing of ZeroMQ: :mod:`jackdaw.engine.protocol` serves one.
"""

import gc
import threading
import time
from collections.abc import Callable

from jackdaw.dsp import SegmentBusy, SegmentError, SegmentWriter
from jackdaw.engine._errors import HostError
from jackdaw.engine._models import Models
from jackdaw.engine._player import Player
from jackdaw.engine.device import Device
from jackdaw.engine.midi_map import MidiMap
from jackdaw.engine.models.contract import Model
from jackdaw.engine.options import Options
from jackdaw.engine.session import Session
from jackdaw.engine.weights.registry import load_model, look_up
from jackdaw.log import Log

__all__ = ["MAX_SESSIONS", "Host", "HostError"]

MAX_SESSIONS = 16
_TURN_S = 0.1
_END_S = 10.0


class _Seat:
    """A session with what the host keeps about it."""

    def __init__(self, session: Session, lease_s: float | None) -> None:
        self.session = session
        self.lease_s = lease_s
        self.used = time.monotonic()
        self.model_borrowed = False
        self.is_gone = threading.Event()


class Host:
    """See the module. All methods are for any thread; those that may wait say so.

    Parameters
    ----------
    log
        Where events go.
    load
        Makes a model of a name.
    midi_map
        Which MIDI controller turns which parameter, in all sessions; None = none does.
    capacity
        Frames in each ring of a segment: a power of two.
    """

    def __init__(
        self,
        log: Log | None = None,
        load: Callable[[str], Model] = load_model,
        *,
        midi_map: MidiMap | None = None,
        capacity: int = 262144,
    ) -> None:
        self.midi_map = midi_map or MidiMap()
        self._log = log
        self._capacity = capacity
        self._models = Models(load)
        self._lock = threading.Lock()
        self._seats: dict[str, _Seat] = {}
        self._leaving: list[_Seat] = []
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._device = Device(self._music_ended)
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._device.start()
        self._keeper.start()

    @property
    def running(self) -> bool:
        """Whether the host plays."""
        return self._device.running and self._keeper.is_alive()

    @property
    def error(self) -> BaseException | None:
        """What the host broke down with; None if it did not."""
        return self._device.error or self._error

    def open(
        self, name: str, *, model: str = "tiny", options: Options | None = None, lease_s: float | None = None
    ) -> Session:
        """Make a session, or find the one that is there with the same model (other arguments are ignored then).

        Returns at once, except that a session of that name that is just ending is waited for. The session is
        ``loading``; its segment is there.

        Parameters
        ----------
        name
            Of the session; it names the segment.
        model
            Which model plays. If it cannot be loaded, the session becomes ``failed``.
        options
            How it plays.
        lease_s
            Close by itself when for so many seconds no reader had the segment attached and nobody has asked for the
            session (see :meth:`touch`); None = never.

        Raises
        ------
        HostError
            ``in use``: the session exists with another model, or its segment belongs to another process; ``full``:
            there are :data:`MAX_SESSIONS`; ``failed``: the segment cannot be made, or the host has stopped.
        ValueError
            If a value in `options` is wrong.
        """
        options = Options() if options is None else options
        self._wait_for_leaving(name)
        with self._lock:
            seat = self._seats.get(name)
            if seat is not None:
                if seat.session.model_name != model:
                    raise HostError(
                        f"session {name!r} plays {seat.session.model_name}; close it first, or take another name",
                        "in use",
                    )
                seat.used = time.monotonic()
                return seat.session
            if self._stop.is_set() or not self._device.running:
                raise HostError("the engine is stopping", "failed")
            if len(self._seats) >= MAX_SESSIONS:
                raise HostError(f"{MAX_SESSIONS} sessions are open: close one first", "full")
            seat = _Seat(self._session(name, model, options), lease_s)
            self._seats[name] = seat
        threading.Thread(target=self._bring_up, args=(seat,), name=f"loader {name}", daemon=True).start()
        return seat.session

    def get(self, name: str) -> Session:
        """Return the session of that name.

        Raises
        ------
        HostError
            ``no session``, if there is none.
        """
        return self._seat(name).session

    def touch(self, name: str) -> None:
        """Renew the lease of a session, if there is one: somebody asked for it."""
        with self._lock:
            seat = self._seats.get(name)
            if seat is not None:
                seat.used = time.monotonic()

    def sessions(self) -> list[Session]:
        """Return all sessions, in the order of their opening."""
        with self._lock:
            return [seat.session for seat in self._seats.values()]

    def close(self, name: str) -> None:
        """Fade a session out and end it; waits for that (3 s at most, and for what the device does meanwhile).

        Raises
        ------
        HostError
            ``no session``, if there is none.
        """
        self._begin_to_close(self._seat(name))
        self._wait_for_leaving(name)

    def stop(self, timeout: float | None = None) -> None:
        """Fade out all sessions and end; waits for that. Stopping twice is allowed.

        Parameters
        ----------
        timeout
            Seconds to wait at most; then the threads are left behind.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._stop.set()
            seats = list(self._seats.values())
        for seat in seats:
            self._begin_to_close(seat)
        with self._lock:
            seats = list(self._leaving)
        for seat in seats:
            seat.is_gone.wait(_END_S if deadline is None else max(0.0, deadline - time.monotonic()))
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._device.stop(left)
        self._keeper.join(left)
        gc.unfreeze()

    # ---- within --------------------------------------------------------------------------------------------

    def _session(self, name: str, model: str, options: Options) -> Session:
        known = look_up(model)
        hear = options.hear or (known.hear if known else "aligned")
        try:
            writer = SegmentWriter.open(name, capacity=self._capacity)
        except SegmentBusy as error:
            raise HostError(f"{error}; another engine plays this session", "in use") from error
        except SegmentError as error:
            raise HostError(str(error), "failed") from error
        try:
            return Session(name, model, writer, options, hear=hear, midi_map=self.midi_map, log=self._log)
        except BaseException:
            writer.close()
            raise

    def _bring_up(self, seat: _Seat) -> None:
        """Load the model of a new session (loader thread)."""
        session, begun = seat.session, time.monotonic()
        try:
            loaded = self._models.borrow(session.model_name)
            try:
                player = session.adopt(loaded.model, loaded.model_hash, loaded.embedder, loaded.seconds)
            except BaseException:
                self._models.give_back(session.model_name)
                raise
        except Exception as error:
            session.fail(error)
            session.say("failed", error=repr(error))
            return
        if player is None:
            self._models.give_back(session.model_name)
            return
        with self._lock:
            seat.model_borrowed = True
        self._device.add(player)
        session.say("ready", warm_up_s=round(time.monotonic() - begun, 3))

    def _seat(self, name: str) -> _Seat:
        with self._lock:
            seat = self._seats.get(name)
        if seat is None:
            raise HostError(f"no session named {name!r}; `open` makes one", "no session")
        return seat

    def _begin_to_close(self, seat: _Seat) -> None:
        with self._lock:
            if self._seats.get(seat.session.name) is not seat:
                return
            del self._seats[seat.session.name]
            self._leaving.append(seat)
        threading.Thread(target=self._see_out, args=(seat,), name=f"closer {seat.session.name}", daemon=True).start()

    def _see_out(self, seat: _Seat) -> None:
        """Let a session end, and clear up behind it (closer thread)."""
        seat.session.leave()
        while not seat.session.wait_until_ended(_TURN_S):
            if not self._device.running:
                seat.session.end()
        with self._lock:
            self._leaving.remove(seat)
            borrowed = seat.model_borrowed
        if borrowed:
            self._models.give_back(seat.session.model_name)
        seat.is_gone.set()

    def _wait_for_leaving(self, name: str) -> None:
        with self._lock:
            seats = [seat for seat in self._leaving if seat.session.name == name]
        for seat in seats:
            seat.is_gone.wait(_END_S)

    def _music_ended(self, player: Player) -> None:
        """Device thread: leave the segment of a session whose music has ended."""
        with self._lock:
            seats = list(self._leaving)
        for seat in seats:
            if seat.session.plays(player):
                seat.session.end()

    # ---- keeper thread -------------------------------------------------------------------------------------

    def _keep(self) -> None:
        try:
            while not self._stop.is_set() or self._leaving:
                self._look_round(time.monotonic())
                time.sleep(_TURN_S)
        except BaseException as error:
            self._error = error
            raise

    def _look_round(self, now: float) -> None:
        with self._lock:
            seats, leaving = list(self._seats.values()), list(self._leaving)
        for seat in (*seats, *leaving):
            if seat.session.beat():
                seat.used = now
        for seat in seats:
            if seat.lease_s is not None and now - seat.used > seat.lease_s:
                seat.session.say("lease over")
                self._begin_to_close(seat)
        for name in self._models.sweep(now):
            if self._log is not None:
                self._log.info("model released", model=name)
