"""The study: what every part of the evaluation shares: corpus, model, clips, judges, progress.

Writes under ``OUT``: ``clips/PART/`` (what the model played), ``real/`` (excerpts of songs), ``verdicts/`` (one file a
verdict, named by the digest of what was judged), all of which later runs use again. Judges are processes of their own
environment, two at once at most.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from clips import Clip, digest, make, place
from material import Song
from numpy.typing import NDArray
from rich.progress import Progress

from jackdaw.engine.models.contract import Model

__all__ = ["JUDGES", "Finding", "Judge", "Study", "judged", "need_judges"]

HERE = Path(__file__).resolve().parent
JUDGES = HERE.parents[1] / ".venv-judges" / "bin" / "python"
AT_ONCE = 2


def need_judges(python: Path = JUDGES) -> None:
    """Say what to do if the judges are not installed.

    Raises
    ------
    FileNotFoundError
        If they are not, or not all of them.
    """
    if not python.exists():
        raise FileNotFoundError(f"the judges are not installed ({python}): run scripts/setup-judges, or make eval")
    wanted = ("madmom", "visqol", "basic_pitch", "musicnn", "onnxruntime")
    code = f"from importlib.util import find_spec as f; print(*[n for n in {wanted} if f(n) is None])"
    missing = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    if missing:
        raise FileNotFoundError(f"judges are missing ({', '.join(missing)}): run scripts/setup-judges again")


@dataclass
class Finding:
    """What a part found.

    Parameters
    ----------
    title, what
        Of its section, and how it was measured, in a sentence or two of HTML.
    figures
        Name -> number or None; they go into the JSON line. Prefixed by nothing: names are unique.
    rows
        Lines of the table: (what, the model's, the training renders').
    detail
        A table of details: heading row first.
    plots
        PNG files, in memory.
    players
        (caption, file) of clips to listen to.
    note
        Why something is missing, or how far to trust it.
    """

    title: str
    what: str
    figures: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[str, Any, Any]] = field(default_factory=list)
    detail: Sequence[Sequence[Any]] = field(default_factory=list)
    plots: list[bytes] = field(default_factory=list)
    players: list[tuple[str, Path]] = field(default_factory=list)
    note: str = ""


class Judge:
    """A process that answers one question at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [JUDGES, HERE / "judge.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; it then ends with its stdin
        )

    def ask(self, question: Mapping[str, str]) -> Any:
        """Return the verdict on one question (see judge.py).

        Raises
        ------
        RuntimeError
            If there is none; the text says why.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the judge died of {question}: run {JUDGES} {HERE / 'judge.py'} and ask it by hand")
        said = json.loads(line)
        if "error" in said:
            raise RuntimeError(f"no verdict ({question['kind']}) on {question['file']}: {said['error']}")
        return said["verdict"]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def judged(kind: str, path: Path) -> Any:
    """Return the verdict on one file, by a judge of its own."""
    judge = Judge()
    try:
        return judge.ask({"kind": kind, "file": str(path)})
    finally:
        judge.stop()


class Study:
    """See the module. Use it as a context: leaving it stops the judges.

    Parameters
    ----------
    model, weights
        What is evaluated, and the digest of its weights.
    songs
        Of the corpus, in order.
    out
        Folder.
    quick
        A few of everything, to see that it works; the figures mean little.
    progress
        Bars.
    """

    def __init__(
        self, model: Model, weights: str, songs: Sequence[Song], out: Path, quick: bool, progress: Progress
    ) -> None:
        self.model, self.songs, self.out, self.quick = model, songs, out, quick
        self.weights, self._progress = weights, progress
        self._judges: list[Judge] = []
        self._idle: list[Judge] = []
        self._lock = threading.Lock()
        self._stopping = False

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for judge in self._judges:
            judge.stop()

    def count(self, full: int, quick: int) -> int:
        """Return how many of something a run takes."""
        return quick if self.quick else full

    def held_out(self, kind: str = "") -> list[Song]:
        """Return the songs of the test and validation splits; of one kind, if one is named; test songs first."""
        songs = [s for s in self.songs if s.split in ("test", "valid") and kind in ("", s.held_out)]
        return sorted(songs, key=lambda song: (song.split != "test", song.name))

    def clips(self, part: str, wanted: Sequence[Clip]) -> list[Path]:
        """Let the model play."""
        task = self._progress.add_task(f"{part}: playing", total=sum(clip.seconds for clip in wanted))
        made = []
        for clip in wanted:
            done = self._progress.tasks[task].completed
            made.append(make(self.model, self.weights, clip, self.out / "clips" / part, self._ticker(task)))
            self._progress.update(task, completed=done + clip.seconds)
        return made

    def _ticker(self, task: Any) -> Callable[[float], None]:
        return lambda seconds: self._progress.advance(task, seconds)

    def counter(self, description: str, total: float) -> Callable[[float], None]:
        """Return what moves a new bar on."""
        return self._ticker(self._progress.add_task(description, total=total))

    def excerpt(self, song: Song, start: float, seconds: float, suffix: str = "") -> Path:
        """Return a file with a stretch of a song (or of what lies beside it with another suffix)."""
        path = self.out / "real" / f"{song.name}{suffix}-{start:.3f}-{seconds:g}.flac"
        if not path.exists():
            sound, rate = soundfile.read(
                song.path.with_suffix(f"{suffix}.flac"),
                start=round(start * 48000),
                frames=round(seconds * 48000),
                dtype="float32",
                always_2d=True,
            )
            place(path, sound, rate)
        return path

    @property
    def codes_sound(self) -> bool:
        """Whether the model has codes, and can decode them."""
        return bool(self.model.spec.levels) and hasattr(self.model, "decode")

    def codes(self, song: Song, start: float, seconds: float) -> NDArray[np.int16]:
        """Return the codes of a stretch of a song, (frames, levels); they are kept in a file."""
        spec = self.model.spec
        path = self.out / "codes" / f"{song.name}-{start:.3f}-{seconds:g}-{self.weights}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            first, count = round(start * spec.sample_rate), round(seconds * spec.sample_rate)
            audio, _ = soundfile.read(song.path, start=first, frames=count, dtype="float32", always_2d=True)
            rest = spec.look_ahead + (-len(audio) - spec.look_ahead) % spec.frame_samples
            _, codes = self.model.encode(None, np.concatenate([audio, np.zeros((rest, spec.channels), np.float32)]))
            part = path.with_suffix(".part.npy")
            np.save(part, codes.astype(np.int16))
            part.replace(path)
        return np.asarray(np.load(path))

    def coded(self, song: Song, start: float, seconds: float) -> Path:
        """Return a file with a stretch of a song as the model's codec leaves it."""
        spec = self.model.spec
        path = self.out / "clips" / "codec" / f"{song.name}-{start:.3f}-{seconds:g}-{self.weights}.flac"
        if not path.exists():
            _, audio = self.model.decode(None, self.codes(song, start, seconds).astype(np.int32))  # type: ignore[attr-defined]
            place(path, audio[spec.look_ahead :][: round(seconds * spec.sample_rate)], spec.sample_rate)
        return path

    def verdicts(self, what: str, kind: str, files: Sequence[Path], references: Sequence[Path] = ()) -> list[Any]:
        """Ask the judges about files; verdicts come in the order of the files.

        Raises
        ------
        RuntimeError
            If a judge fails.
        """
        advance = self.counter(f"{what}: judging {kind}", len(files))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            pairs = [(file, references[i] if references else None) for i, file in enumerate(files)]
            jobs = [pool.submit(self._verdict, kind, file, other, advance) for file, other in pairs]
            try:
                wait(jobs, return_when=FIRST_EXCEPTION)
                return [job.result() for job in jobs]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.__exit__(None, None, None)
                raise

    def _verdict(self, kind: str, file: Path, reference: Path | None, advance: Callable[[float], None]) -> Any:
        key = kind + digest(file) + (digest(reference) if reference else "")
        path = self.out / "verdicts" / kind / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"
        if path.exists():
            advance(1)
            return json.loads(path.read_text(encoding="utf-8"))
        question = {"kind": kind, "file": str(file.resolve())}
        if reference:
            question["reference"] = str(reference.resolve())
        with self._lock:
            if self._stopping:
                raise RuntimeError("the evaluation was stopped")
            if not self._idle:
                self._judges.append(Judge())
                self._idle.append(self._judges[-1])
            judge = self._idle.pop()
        verdict = judge.ask(question)
        with self._lock:
            self._idle.append(judge)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(verdict), encoding="utf-8")
        os.replace(part, path)
        advance(1)
        return verdict
