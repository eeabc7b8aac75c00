"""``jackdaw render``: music to a file, faster than real time; equal seed, equal bytes."""

import argparse
from pathlib import Path

from jackdaw.cli._errors import UserError
from jackdaw.cli._options import add_model_options, knobs, model_name, prompts
from jackdaw.engine.render import render_file

__all__ = ["register"]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("render", help="render music to a file", description=__doc__.splitlines()[0])
    parser.add_argument("out", metavar="OUT.wav", help="WAV or FLAC file to write")
    add_model_options(parser)
    parser.add_argument("--seconds", type=float, default=30.0, help="how much music (default: 30)")
    parser.add_argument("--input", metavar="FILE", help="audio that the model hears while it plays")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Render and say how fast it went."""
    out = Path(arguments.out)
    if out.suffix not in (".wav", ".flac"):
        raise UserError(f"{out}: give a name that ends in .wav or .flac", code=2)
    if not 0 < arguments.seconds <= 86400:
        raise UserError(f"--seconds {arguments.seconds:g}: give more than 0 and at most a day", code=2)
    texts, audio = prompts(arguments)
    try:
        result = render_file(
            out,
            model=model_name(arguments),
            prompts=texts,
            audio_prompts=audio,
            seconds=arguments.seconds,
            seed=arguments.seed or 0,
            parameters=knobs(arguments),
            heard=arguments.input,
            progress=True,
        )
    except (ValueError, OSError, ModuleNotFoundError) as error:
        raise UserError(str(error)) from error
    print(
        f"wrote {out}: {result.seconds:.1f} s at {result.speed:.1f}x real time (plus {result.start_s:.1f} s to start)"
    )
    return 0
