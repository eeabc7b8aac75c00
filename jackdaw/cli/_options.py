"""Options that several commands share: model, prompts, seed, and one option per knob of the parameter tree."""

import argparse
from pathlib import Path

from jackdaw.cli._errors import UserError
from jackdaw.engine.parameters import PARAMETERS, check_value
from jackdaw.engine.weights.registry import find_model

__all__ = ["add_model_options", "knobs", "model_name", "osc_port", "prompts"]

Prompt = tuple[str, float]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--prompt``, ``--audio-prompt``, ``--seed`` and the knobs."""
    parser.add_argument("--model", help="which model plays; `jackdaw models` lists them (default: tiny)")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="another checkpoint for the model, such as one that was trained on"
    )
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT[:WEIGHT]",
        help='style in words, may repeat: --prompt "disco:0.7" --prompt "bossa nova:0.3"',
    )
    parser.add_argument(
        "--audio-prompt", action="append", default=[], metavar="FILE[:WEIGHT]", help="style by example, may repeat"
    )
    parser.add_argument("--seed", type=int, help="equal seed, equal music (default: 0)")
    group = parser.add_argument_group("knobs")
    for parameter in PARAMETERS.values():
        unit = f" {parameter.unit}" if parameter.unit else ""
        group.add_argument(
            "--" + parameter.name.replace("_", "-"),
            dest="knob_" + parameter.name,
            type=float,
            metavar=f"{parameter.minimum:g}..{parameter.maximum:g}",
            help=f"{parameter.help} (default: {parameter.default:g}{unit})",
        )


def osc_port(text: str) -> int:
    """Read the port of ``--osc``."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port of 1 to 65535; OSC is spoken on 127.0.0.1 alone")
    return int(text)


def model_name(arguments: argparse.Namespace) -> str:
    """Return the name of the model, with the checkpoint if one was given.

    Raises
    ------
    UserError
        If the model takes none, or it is not there.
    """
    model = arguments.model or "tiny"
    if arguments.checkpoint is None:
        return str(model)
    file = Path(arguments.checkpoint).absolute()
    if not file.is_file():
        raise UserError(f"--checkpoint {file}: there is no such file", code=2)
    name = f"{model}@{file}"
    try:
        find_model(name)
    except ValueError as error:
        raise UserError(str(error), code=2) from error
    return name


def knobs(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the knobs that were given, checked.

    Raises
    ------
    UserError
        If one is out of its range.
    """
    given = {name: getattr(arguments, "knob_" + name) for name in PARAMETERS}
    try:
        return {name: check_value(name, value) for name, value in given.items() if value is not None}
    except ValueError as error:
        raise UserError(str(error), code=2) from error


def _weighted(text: str) -> Prompt:
    head, colon, tail = text.rpartition(":")
    if colon:
        try:
            weight = float(tail)
        except ValueError:
            return text, 1.0
        if not 0.0 <= weight <= 1000.0:
            raise UserError(f"weight of prompt {head!r} is {tail}; give a number from 0 to 1000", code=2)
        return head, weight
    return text, 1.0


def prompts(arguments: argparse.Namespace) -> tuple[list[Prompt], list[Prompt]]:
    """Return the text prompts and the audio prompts (absolute paths), each with its weight.

    Raises
    ------
    UserError
        If a text is empty, a weight out of range, or an audio file is not there.
    """
    texts = [_weighted(text) for text in arguments.prompt]
    audio = [_weighted(text) for text in arguments.audio_prompt]
    for text, _ in texts:
        if not text.strip():
            raise UserError('a prompt is empty; say a style in words, e.g. --prompt "slow blues"', code=2)
    for path, _ in audio:
        if not Path(path).is_file():
            raise UserError(
                f"audio prompt {path!r} is not a file; give the path of a WAV, FLAC, OGG or MP3 file", code=2
            )
    return texts, [(str(Path(path).resolve()), weight) for path, weight in audio]
