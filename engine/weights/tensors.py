"""Weight files: a tree of arrays as one safetensors file, and back.

Keys are the tree's paths joined by ``/``; what a file must say about itself (sizes, version) travels as JSON text in
its metadata. Writes go to a temporary name first, so that a file is either whole or not there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.flax import save_file

__all__ = ["read_tree", "write_tree"]

_ABOUT = "about"


def read_tree(path: Path, *, widen: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a weight file.

    Parameters
    ----------
    path
        A safetensors file that :func:`write_tree` wrote.
    widen
        Give 16-bit floats as float32.

    Returns
    -------
    tree, about
        Nested dictionaries of NumPy arrays, and what the file says about itself.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged or not a weight file of this kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"weight file {path} is not there; install jackdaw again or train it")
    try:
        with safe_open(path, framework="numpy") as source:
            about = json.loads((source.metadata() or {}).get(_ABOUT, "{}"))
            flat = {key: _array(source.get_tensor(key), widen) for key in source.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"weight file {path} is damaged ({error}); install jackdaw again or train it anew") from error
    return traverse_util.unflatten_dict(flat, sep="/"), about


def _array(tensor: NDArray[Any], widen: bool) -> NDArray[Any]:
    narrow = tensor.dtype in (jnp.bfloat16, jnp.float16)
    return tensor.astype(np.float32) if widen and narrow else tensor


def write_tree(path: Path, tree: Mapping[str, Any], about: Mapping[str, Any], *, narrow: bool = False) -> None:
    """Write a tree of arrays; `narrow` stores float32 as bfloat16."""
    flat = traverse_util.flatten_dict(dict(tree), sep="/")
    tensors = {
        key: jnp.asarray(value, jnp.bfloat16 if narrow and np.asarray(value).dtype == np.float32 else None)
        for key, value in flat.items()
    }
    partial = path.with_name(path.name + ".part")
    save_file(tensors, str(partial), metadata={_ABOUT: json.dumps(dict(about))})
    partial.chmod(0o644)
    partial.replace(path)
