"""The loaded models: one object for all sessions of a model, kept warm for a while after the last."""

import gc
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from jackdaw.engine.models.contract import Model
from jackdaw.engine.prompts import Embedder
from jackdaw.engine.weights.fingerprint import fingerprint

__all__ = ["Loaded", "Models"]

KEEP_S = 60.0


@dataclass(eq=False)
class Loaded:
    """A model, warmed up, with what goes with it; `seconds` says how long each part of loading took."""

    model: Model
    model_hash: str
    embedder: Embedder
    seconds: Mapping[str, float]


@dataclass(eq=False)
class _Shelf:
    loading: threading.Lock = field(default_factory=threading.Lock)
    loaded: Loaded | None = None
    users: int = 0
    unused_since: float = 0.0


class Models:
    """See the module; any thread.

    Parameters
    ----------
    load
        Makes a model of a name.
    """

    def __init__(self, load: Callable[[str], Model]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._shelves: dict[str, _Shelf] = {}

    def borrow(self, name: str) -> Loaded:
        """Return the model of that name; load and warm it up first if it is not there, which takes a while.

        Give it back with :meth:`give_back`, unless this raises.

        Raises
        ------
        Exception
            Whatever loading raises.
        """
        with self._lock:
            shelf = self._shelves.setdefault(name, _Shelf())
            shelf.users += 1
        try:
            with shelf.loading:
                if shelf.loaded is None:
                    times = [time.monotonic()]
                    model_hash = fingerprint(name)
                    times.append(time.monotonic())
                    model = self._load(name)
                    times.append(time.monotonic())
                    model.warm_up()
                    times.append(time.monotonic())
                    spans = dict(zip(("fingerprint", "weights", "warm-up"), np.diff(times).tolist(), strict=True))
                    shelf.loaded = Loaded(model, model_hash, Embedder(model, model_hash), spans)
                    gc.freeze()  # what is loaded stays: looking through it for garbage takes 100 ms
                return shelf.loaded
        except BaseException:
            self.give_back(name)
            raise

    def give_back(self, name: str) -> None:
        """One session less uses the model."""
        with self._lock:
            shelf = self._shelves[name]
            shelf.users -= 1
            shelf.unused_since = time.monotonic()

    def sweep(self, now: float) -> list[str]:
        """Let go of models that nobody has used for a minute; return their names."""
        with self._lock:
            old = [n for n, s in self._shelves.items() if s.users == 0 and now - s.unused_since >= KEEP_S]
            for name in old:
                del self._shelves[name]
        return old
