"""The style of what is being played: the newest seconds of the input, embedded again and again.

The device thread calls :meth:`LiveStyle.look` once a step: embedding happens on a thread of its own, one at a time, and
its result is there some steps later. Only a bounce waits for it, so that its bytes repeat.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from jackdaw.engine.models.contract import Audio, Model, Style

__all__ = ["LiveStyle"]

_HEARD_S = 5.0
_EVERY_S = 2.0
_AGAIN_S = 0.2
_SILENT_DB = -60.0


class LiveStyle:
    """See the module.

    Parameters
    ----------
    model
        Whose styles.
    say
        Logs an event with fields.
    """

    def __init__(self, model: Model, say: Callable[..., None]) -> None:
        self._model = model
        self._say = say
        self._every = max(1, round(_EVERY_S / model.spec.step_seconds))
        self._again = max(1, round(_AGAIN_S / model.spec.step_seconds))
        self._thread: ThreadPoolExecutor | None = None
        self._said = ""
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Know nothing of the input; what is being embedded does not count any more."""
        self._job: Future[Style] | None = None
        self.style: Style | None = None
        self._waited = self._every

    def look(self, wanted: bool, newest: Callable[[int], Audio], *, waits: bool = False) -> Style | None:
        """Return the style of the input as it is known now; None while none is wanted or known.

        Parameters
        ----------
        wanted
            Whether it has any weight.
        newest
            Returns so many samples of the newest input.
        waits
            Whether to wait for what is being embedded.
        """
        if not wanted or self._model.spec.style_size == 0:
            self.begin_epoch()
            return None
        self._take(waits=False)
        self._waited += 1
        if self._job is None and self._waited >= self._every:
            self._waited = 0
            heard = newest(round(_HEARD_S * self._model.spec.sample_rate))
            if np.sqrt(np.mean(np.square(heard, dtype=np.float64))) > 10.0 ** (_SILENT_DB / 20.0):
                if self._thread is None:
                    self._thread = ThreadPoolExecutor(1, "live-style")
                self._job = self._thread.submit(self._embedded, heard)
            else:
                self._waited = self._every - self._again
        self._take(waits=waits)
        return self.style

    def _embedded(self, heard: Audio) -> Any:
        return self._model.embed(heard)

    def _take(self, *, waits: bool) -> None:
        if self._job is None or not (waits or self._job.done()):
            return
        try:
            self.style = self._job.result()
        except Exception as error:  # the music goes on in the style it has
            if str(error) != self._said:
                self._say("the input has no style", error=str(error))
                self._said = str(error)
        self._job = None

    def close(self) -> None:
        """End the thread; what it is at is not waited for."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
