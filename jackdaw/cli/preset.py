"""``jackdaw preset``: keep how a session plays, and play so again."""

import argparse
from typing import Any

import numpy as np

from jackdaw.cli._errors import UserError
from jackdaw.cli._which import add_which_options, engine_client, only_session
from jackdaw.engine import presets
from jackdaw.engine.prompts import Prompt
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["kept", "register"]

_PART = 512 << 10


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("preset", help="keep how a session plays", description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    which = argparse.ArgumentParser(add_help=False)
    add_which_options(which)
    save = actions.add_parser("save", parents=[which], help="keep how the session plays now")
    save.add_argument("--state", action="store_true", help="keep what the model remembers of its playing, too")
    save.set_defaults(run=_save)
    load = actions.add_parser("load", parents=[which], help="let the session play so")
    load.set_defaults(run=_load)
    for name, words, action in (("show", "print a preset", _show), ("delete", "remove a preset", _delete)):
        leaf = actions.add_parser(name, help=words)
        leaf.set_defaults(run=action)
    for leaf in actions.choices.values():
        leaf.add_argument("name", metavar="NAME", help="of the preset, or the path of a .toml file")
    listing = actions.add_parser("list", help="list the presets")
    listing.set_defaults(run=_list)


def _path(arguments: argparse.Namespace) -> Any:
    try:
        return presets.path_of(arguments.name)
    except ValueError as error:
        raise UserError(str(error), code=2) from error


def _read(arguments: argparse.Namespace) -> presets.Preset:
    try:
        return presets.read(_path(arguments))
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def _save(arguments: argparse.Namespace) -> int:
    path = _path(arguments)
    try:
        with engine_client(arguments) as client:
            client.session = arguments.session or only_session(client)
            presets.write(path, kept(client, state=arguments.state))
    except (ControlError, ValueError, OSError) as error:
        raise UserError(str(error)) from error
    print(f"saved {path}")
    return 0


def kept(client: ControlClient, *, state: bool) -> presets.Preset:
    """Return how the client's session plays now, with what the model remembers if `state`.

    Raises
    ------
    ControlError
        If the engine says no: the model is loading, for instance.
    ValueError
        If a prompt was given as samples.
    """
    blob = _fetched(client) if state else None
    told = client.tell("attach")
    return presets.Preset(
        model=told["model"],
        model_hash=told["model_hash"] or "",
        seed=told["seed"],
        parameters=told["values"],
        prompts=[_kept(prompt, told["model_hash"]) for prompt in told["prompts"]],
        state=blob,
    )


def _fetched(client: ControlClient) -> bytes:
    """Return the session's state."""
    part = client.tell("state_get")
    blob = part["data"]
    while len(blob) < part["size"]:
        blob += client.tell("state_get", snapshot=part["snapshot"], offset=len(blob))["data"]
    return bytes(blob)


def _kept(told: dict[str, Any], model_hash: str) -> Prompt:
    embedding = np.frombuffer(told["embedding"], "<f4") if "embedding" in told else None
    if "text" not in told and "audio" not in told:
        raise ValueError(f"prompt {told['name']!r} was given as samples: give it as a file, so that it can be kept")
    return Prompt(
        text=told.get("text"),
        audio=told.get("audio"),
        name=told["name"],
        weight=told["weight"],
        embedding=embedding,
        model_hash=None if embedding is None else model_hash,
    )


def _load(arguments: argparse.Namespace) -> int:
    preset = _read(arguments)
    try:
        with engine_client(arguments) as client:
            client.session = arguments.session or only_session(client)
            told = client.tell("attach")
            if told["model"] != preset.model:
                raise UserError(
                    f"the preset is for {preset.model}, the session plays {told['model']}: "
                    f"start it with `jackdaw jam --preset {arguments.name}`"
                )
            if preset.state is not None and told["model_hash"] != preset.model_hash:
                raise UserError("the preset's state is of other weights: remove `state = true` from it")
            client.prompt([_asked(prompt) for prompt in preset.prompts])
            client.tell("mark", text=f"preset {_path(arguments).stem}", ahead=True)
            if preset.state is not None:
                _give(client, preset)
            client.set(**preset.parameters)
    except ControlError as error:
        raise UserError(str(error)) from error
    print(f"playing {arguments.name}")
    return 0


def _asked(prompt: Prompt) -> dict[str, Any]:
    asked: dict[str, Any] = {"text": prompt.text} if prompt.text is not None else {"audio": prompt.audio}
    asked |= {"name": prompt.name, "weight": prompt.weight}
    if prompt.embedding is not None:
        asked |= {"embedding": prompt.embedding.astype("<f4").tobytes(), "model_hash": prompt.model_hash}
    return asked


def _give(client: ControlClient, preset: presets.Preset) -> None:
    blob = preset.state or b""
    for offset in range(0, len(blob), _PART):
        data = blob[offset : offset + _PART]
        client.tell("state_set", size=len(blob), offset=offset, data=data, model_hash=preset.model_hash)


def _list(_arguments: argparse.Namespace) -> int:
    for name in presets.names():
        print(name)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    preset = _read(arguments)
    print(f"model {preset.model}, seed {preset.seed}{', with state' if preset.state is not None else ''}")
    for prompt in preset.prompts:
        print(f"{prompt.weight:g} {prompt.name}")
    for name, value in preset.parameters.items():
        print(f"{name} {value:g}")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    try:
        presets.remove(_path(arguments))
    except OSError as error:
        raise UserError(f"preset {arguments.name!r}: {error}") from error
    return 0
