"""Random checkpoints of Magenta RealTime 2: official names, shapes and layout, any size, the same for the same seed.

They stand in for the real weights where only arithmetic matters: tests, parity with the reference, and timing. What
they make is noise. Every array has a generator of its own, seeded by (seed, name), so that a part is like the whole.
Scales are such that values stay near 1 through the network, attention is neither flat nor hard, and logits differ.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.weights.mrt2_shapes import Shapes

__all__ = ["random_array", "random_tree", "write_random"]

_SOURCE_AXES = {4: 3, 3: 1, 2: 1}
"""How many leading axes of a kernel are summed over, by its number of axes."""

_HALVED = 2.0 ** (-1.0 / 8.0)
"""How much finer each codebook of the codec is than the one before."""


def _spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the mean and the standard deviation of an array."""
    kind = name.rsplit("/", 1)[-1]
    if kind == "scale":
        return 1.0, 0.1
    if kind == "bias":
        return 0.0, 0.05
    if kind == "per_dim_scale":
        return 1.0, 0.3
    if kind.startswith("sink_"):
        return 0.0, 0.3
    if kind == "embedding":
        return 0.0, 1.0 / sqrt(shape[-1]) if "decoder_embedding" in name else 1.0
    if "output_projection" in name:
        return 0.0, 1.0 / sqrt(prod(shape[1:]))
    if "base_conv_last" in name:
        return 0.0, 8.0 / sqrt(prod(shape[:3]))
    gain = 2.5 if "to_logits" in name else 1.0
    return 0.0, gain / sqrt(prod(shape[: _SOURCE_AXES[len(shape)]]))


def random_array(name: str, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """Return one array of a checkpoint.

    Parameters
    ----------
    name
        Its official name, which decides on its scale.
    shape
        Its shape.
    seed
        0 or more.
    """
    known = name.removeprefix("params/").removeprefix("soundstream/")  # the codec's own files hold the same
    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(known.encode())]))
    mean, spread = _spread(name, shape)
    values = generator.standard_normal(shape, np.float32)
    values *= np.float32(spread)
    values += np.float32(mean)
    if known == "quantizer/embedding":
        values *= (_HALVED ** np.arange(shape[0], dtype=np.float32))[:, None, None].astype(np.float32)
    return values


def random_tree(shapes: Shapes, seed: int = 0) -> dict[str, Any]:
    """Return a random tree, from below ``params``: nested dictionaries of float32 arrays.

    Parameters
    ----------
    shapes
        From :mod:`~jackdaw.engine.weights.mrt2_shapes`.
    seed
        0 or more.
    """
    tree: dict[str, Any] = {}
    for name, shape in shapes.items():
        *folders, last = name.removeprefix("params/").split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = random_array(name, shape, seed)
    return tree


def write_random(
    path: Path,
    shapes: Shapes,
    seed: int = 0,
    *,
    track: Callable[[Iterable[str]], Iterable[str]] = iter,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a random checkpoint as a safetensors file, an array at a time.

    Parameters
    ----------
    path
        Where to; the file is there when it is whole.
    shapes, seed
        Of :func:`random_tree`.
    track
        Passes on the names while they are written, to show how far that is.
    metadata
        What the file says about itself.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name in sorted(shapes):
        size = 4 * prod(shapes[name])
        header[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in track(sorted(shapes)):
                file.write(random_array(name, shapes[name], seed).astype("<f4", copy=False).data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
