"""MusicCoCa by LiteRT and SentencePiece, from its official files; both packages are optional.

A network's file is read when it is first needed: whoever prompts in words never loads what listens. One thread each:
prompts are embedded beside the music, which must not wait for them.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.musiccoca import MusicCoCa, Networks

__all__ = ["FILES", "Graph", "load_musiccoca"]

_VOCABULARY = "spm.model"
_GRAPHS = {
    "text": "text_encoder.tflite",
    "mapper": "mapper.tflite",
    "preprocessor": "audio_preprocessor.tflite",
    "music": "music_encoder.tflite",
    "quantiser": "pretrained_vector_quantizer.tflite",
}
FILES = (_VOCABULARY, *_GRAPHS.values())
"""Names of the official files."""


class Graph:
    """A network in a ``.tflite`` file; see :class:`~jackdaw.engine.models.musiccoca.Network`. Any thread.

    Parameters
    ----------
    path
        The file, which is read at first use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._loaded: Any = None

    def _interpreter(self) -> Any:
        if self._loaded is None:
            from ai_edge_litert.interpreter import Interpreter

            try:
                interpreter = Interpreter(model_path=str(self._path), num_threads=1)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ValueError(f"{self._path} can't be used ({error}): fetch it again") from error
            self._loaded = interpreter
        return self._loaded

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each input has."""
        with self._lock:
            return tuple(int(np.prod(detail["shape"])) for detail in self._interpreter().get_input_details())

    def __call__(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Return the first output.

        Parameters
        ----------
        *inputs
            In the order of the file's, but kinds of numbers go before order: a file may list ids after paddings.

        Raises
        ------
        ValueError
            If the file is damaged, or takes something else.
        """
        with self._lock:
            interpreter = self._interpreter()
            waiting = list(inputs)
            for detail in interpreter.get_input_details():
                size, kind = int(np.prod(detail["shape"])), np.dtype(detail["dtype"])
                index = next((i for i, given in enumerate(waiting) if given.dtype == kind and given.size == size), None)
                if index is None:
                    given = ", ".join(f"{one.size} of {one.dtype}" for one in inputs)
                    raise ValueError(
                        f"{self._path} wants {size} of {kind} as {detail['name']!r} and was given {given}: is it the "
                        f"right file?"
                    )
                interpreter.set_tensor(detail["index"], waiting.pop(index).reshape(detail["shape"]))
            if waiting:
                raise ValueError(f"{self._path} takes fewer inputs than {len(inputs)}: is it the right file?")
            interpreter.invoke()
            return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def _vocabulary(path: Path) -> Callable[[str], Sequence[int]]:
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} is no vocabulary ({error}): fetch it again") from error
    return lambda text: [int(number) for number in processor.encode(text)]


def load_musiccoca(folder: Path, *, mapped: bool = True) -> MusicCoCa:
    """Make MusicCoCa of the official files in `folder`.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If the vocabulary is damaged. A network that is damaged says so when it is first used.
    ModuleNotFoundError
        If an optional package isn't installed.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} has no {', '.join(missing)}, which MusicCoCa needs")
    try:
        import ai_edge_litert.interpreter  # noqa: F401

        spell = _vocabulary(folder / _VOCABULARY)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"styles of Magenta RealTime need the package {error.name}: pip install 'jackdaw-live[mrt2]'",
            name=error.name,
        ) from error
    return MusicCoCa(Networks(**{name: Graph(folder / file) for name, file in _GRAPHS.items()}), spell, mapped=mapped)
