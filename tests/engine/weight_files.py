"""Weight files for tests, of any size."""

import json
from pathlib import Path

import numpy as np

from jackdaw.engine.weights.mrt2_shapes import Shapes


def sparse(path: Path, shapes: Shapes) -> Path:
    """Write a file of zeros, as long as a real one, that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return path
