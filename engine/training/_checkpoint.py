"""Trees of arrays in safetensors files: checkpoints, and weights to ship in bfloat16."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

__all__ = ["load_tree", "save_tree"]


def _names(tree: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def save_tree(path: Path, tree: Any, metadata: Mapping[str, str], *, half: bool = False) -> None:
    """Write a tree of arrays, names made from its keys, whole or not at all.

    Parameters
    ----------
    path
        File to write or to replace.
    tree
        Pytree of arrays.
    metadata
        Strings to keep beside the arrays.
    half
        Whether to round floating point arrays to bfloat16.
    """
    arrays = {}
    for name, leaf in _names(tree):
        array = np.asarray(leaf)
        if half and array.dtype == np.float32:
            array = array.astype(jnp.bfloat16)
        arrays[name] = np.ascontiguousarray(array)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    save_file(arrays, partial, dict(metadata))
    os.replace(partial, path)


def load_tree(path: Path, like: Any) -> tuple[Any, dict[str, str]]:
    """Read a tree that :func:`save_tree` wrote.

    Parameters
    ----------
    path
        File to read.
    like
        Tree of the same structure, shapes and types.

    Returns
    -------
    tree, metadata

    Raises
    ------
    ValueError
        If an array is missing or has another shape.
    """
    with safe_open(path, framework="numpy") as file:
        metadata = dict(file.metadata() or {})
        known, leaves = set(file.keys()), []
        for name, leaf in _names(like):
            array = file.get_tensor(name) if name in known else None
            if array is None or array.shape != np.shape(leaf):
                raise ValueError(f"{path} does not fit this model: {name} should have shape {np.shape(leaf)}")
            leaves.append(jnp.asarray(array, np.asarray(leaf).dtype))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves), metadata
