"""Processes that don't outlive the one that started them."""

import ctypes
import signal

__all__ = ["end_with_parent"]

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let this process be ended (SIGTERM) when the thread that started it is gone, however it went."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
