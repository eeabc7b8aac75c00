"""The live status line of a jam, and the words at its end."""

import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["StatusLine", "summary", "text"]


def _bar(level_db: float, width: int = 6) -> str:
    """Draw a level from -48 to 0 dBFS as a bar."""
    filled = max(0, min(width, round((level_db + 48.0) / 48.0 * width)))
    return "#" * filled + "-" * (width - filled)


def _beat(status: dict[str, Any]) -> str:
    """Say how far the music is off the clock, while one rolls."""
    drift = status["drift"]
    if drift["error"] is not None:
        return "beat: see the log | "
    if not status["transport"]["rolling"] or not status["transport"]["bpm"]:
        return ""
    return "beat ? | " if drift["offset_ms"] is None else f"beat {drift['offset_ms']:+.0f} ms | "


def text(status: dict[str, Any] | None, restarts: int = 0) -> str:
    """Return the line that tells a status; None means that the engine does not answer."""
    if status is None:
        return "waiting for the engine ..."
    if not status["reader_alive"]:
        return f"{status['model']}: waiting for JACK ..."
    levels = status["levels"]
    return (
        f"{status['model']} {status['rtf']:.1f}x real time | "
        f"ring {status['fill_ms']:.0f}/{status['target_ms']:.0f} ms | "
        f"latency {status['loop_latency_ms']:.0f} ms | xruns {status['xruns']} ours {status['xruns_ours']} | "
        f"underruns {status['underruns']} | out {_bar(max(levels['out']))} in {_bar(max(levels['in']))} | "
        f"{_beat(status)}{status['played_s']:.0f} s" + (f" | restarts {restarts}" if restarts else "")
    )


class StatusLine:
    """One line, rewritten in place on a terminal; on a pipe, one line every 10 s."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._last = 0.0

    def __enter__(self) -> "StatusLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            print()

    def show(self, status: dict[str, Any] | None, *, restarts: int = 0) -> None:
        """Show the newest status; None means that the engine does not answer."""
        line = text(status, restarts)
        if self._live:
            print("\r\x1b[2K" + line, end="", flush=True)
        elif time.monotonic() - self._last >= 10.0:
            self._last = time.monotonic()
            print(line, flush=True)


def summary(status: dict[str, Any], started: float, *, record: str | None) -> str:
    """Say how the jam went.

    Parameters
    ----------
    status
        The last status of the engine; may be empty if it never answered.
    started
        When the jam was started, monotonic seconds.
    record
        The recording, if one was made.
    """
    if not status or not status.get("first_sound_ns"):
        return "no sound was made"
    first = status["first_sound_ns"] / 1e9 - started
    spans = [f"{part} {seconds:.1f}" for part, seconds in status["loading_s"].items()]
    spans.append(f"the rest {max(0.0, first - sum(status['loading_s'].values())):.1f}")
    lines = [
        f"played {status['played_s']:.1f} s, first sound after {first:.1f} s, {status['rtf']:.1f}x real time, "
        f"latency {status['loop_latency_ms']:.0f} ms",
        f"start, in seconds: {', '.join(spans)}",
        f"underruns after the first second: {status['underruns_after_start']}; "
        f"xruns: {status['xruns']}, ours: {status['xruns_ours']}",
    ]
    if record:
        lines.append(f"recorded {record}")
    return "\n".join(lines)
