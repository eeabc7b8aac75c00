"""Checkpoints of a training run: any tree of arrays in one weight file, read back into a tree of the same structure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jackdaw.engine.weights.tensors import read_tree, write_tree

__all__ = ["load_checkpoint", "save_checkpoint"]


def _names(tree: Any) -> list[str]:
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]


def save_checkpoint(path: Path, tree: Any, about: Mapping[str, Any]) -> None:
    """Write a tree of arrays, named by their places in it, and what there is to say about it."""
    flat = dict(zip(_names(tree), jax.tree.leaves(tree), strict=True))
    write_tree(path, traverse_util.unflatten_dict(flat, sep="/"), about)


def load_checkpoint(path: Path, like: Any) -> Any:
    """Read a tree that :func:`save_checkpoint` wrote; `like` has its structure, shapes and types.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or an array is missing or has another shape.
    """
    flat = traverse_util.flatten_dict(read_tree(path)[0], sep="/")
    leaves = []
    for name, leaf in zip(_names(like), jax.tree.leaves(like), strict=True):
        array = flat.get(name)
        if array is None or array.shape != np.shape(leaf):
            raise ValueError(f"{path} is of another network: {name} should have the shape {np.shape(leaf)}")
        leaves.append(jnp.asarray(array, np.asarray(leaf).dtype))
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
