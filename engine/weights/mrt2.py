"""Magenta RealTime 2 from its official files: which they are, whether they are right, and the model that they make."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from jackdaw.engine.models.mrt2_config import SIZES
from jackdaw.engine.runtime import cpu
from jackdaw.engine.weights.mrt2_loader import check_checkpoint, check_encoder, read_checkpoint, read_encoder

if TYPE_CHECKING:
    from jackdaw.engine.models.mrt2 import MRT2, Player

__all__ = ["LICENCE", "REPOSITORY", "check_files", "files", "load_mrt2"]

REPOSITORY = "google/magenta-realtime-2"
"""On the Hugging Face hub."""

LICENCE = "CC-BY-4.0"
"""Of the weights."""

_ENCODER = "resources/spectrostream/encoder.safetensors"
_STYLES = "resources/musiccoca"
_VOCABULARY = "spm.model"
_GRAPHS = ("text_encoder", "mapper", "audio_preprocessor", "music_encoder", "pretrained_vector_quantizer")
_MARK = b"TFL3"


def _checkpoint(name: str) -> str:
    return f"checkpoints/{name}.safetensors"


def files(name: str) -> tuple[str, ...]:
    """Return the official names of a model's files: the checkpoint, the codec's encoder, MusicCoCa.

    The codec's decoder and codebooks are in the checkpoint.
    """
    graphs = (f"{_STYLES}/{graph}.tflite" for graph in _GRAPHS)
    return (_checkpoint(name), _ENCODER, f"{_STYLES}/{_VOCABULARY}", *graphs)


def check_files(name: str, folder: Path, checkpoint: Path | None = None) -> None:
    """Check that `folder` has all files of a model, and that they are what their names say.

    A name that is none of the published ones may have any sizes. `checkpoint` takes the place of the one in the folder.

    Raises
    ------
    FileNotFoundError
        If some are missing; the text names them.
    ValueError
        If one is damaged or something else; the text names it.
    """
    checkpoint = checkpoint or folder / _checkpoint(name)
    missing = [file for file in files(name)[1:] if not (folder / file).is_file()]
    if not checkpoint.is_file():
        missing.insert(0, _checkpoint(name))
    if missing:
        raise FileNotFoundError(f"{folder} has no {', '.join(missing)}")
    check_checkpoint(checkpoint, SIZES.get(name))
    check_encoder(folder / _ENCODER, official=name in SIZES)
    for graph in _GRAPHS:
        path = folder / _STYLES / f"{graph}.tflite"
        with path.open("rb") as file:
            if file.read(8)[4:] != _MARK:
                raise ValueError(f"{path} is not a TFLite file: fetch it again")
    if (folder / _STYLES / _VOCABULARY).stat().st_size == 0:
        raise ValueError(f"{folder / _STYLES / _VOCABULARY} is empty: fetch it again")


def load_mrt2(name: str, folder: Path, checkpoint: Path | None = None) -> "MRT2":
    """Read the files in `folder`, of the official layout, and make the model; `checkpoint` may lie elsewhere.

    It plays by OpenVINO where JAX has processors alone and OpenVINO is installed, else by JAX.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged or something else.
    ModuleNotFoundError
        If an optional package isn't installed; the text says which.
    """
    cpu.configure()
    import jax

    from jackdaw.engine.models.mrt2 import MRT2
    from jackdaw.engine.runtime.jax_mrt2 import JaxPlayer
    from jackdaw.engine.runtime.litert import load_musiccoca

    checkpoint = checkpoint or folder / _checkpoint(name)
    check_files(name, folder, checkpoint)
    styles = load_musiccoca(folder / _STYLES)
    params, config = read_checkpoint(checkpoint, SIZES.get(name))
    params |= read_encoder(folder / _ENCODER, official=name in SIZES)
    player: Player
    if jax.default_backend() == "cpu" and find_spec("openvino") is not None:
        from jackdaw.engine.runtime.openvino_mrt2 import OpenVinoPlayer

        player = OpenVinoPlayer(params, config)
    else:
        player = JaxPlayer(params, config)
    return MRT2(player, styles.embed, lambda style: styles.tokenise(style).tolist())
