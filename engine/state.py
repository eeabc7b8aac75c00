"""A model's state as bytes and back: safetensors, one tensor per leaf, named by its path.

States are nested dicts, tuples, named tuples and lists of arrays and numbers. The structure is not stored: it comes
from a fresh state of the same model, and every leaf's shape and type is checked against it before anything is used.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

__all__ = ["load_state", "save_state"]


def _leaves(state: Any, path: str = "state") -> Iterator[tuple[str, Any]]:
    if isinstance(state, dict):
        for key in sorted(state):
            yield from _leaves(state[key], f"{path}/{key}")
    elif isinstance(state, tuple | list):
        for index, item in enumerate(state):
            yield from _leaves(item, f"{path}/{index}")
    elif state is not None:
        yield path, state


def _array(leaf: Any) -> NDArray[Any]:
    array = np.asarray(leaf)
    if array.dtype == np.bool_ or array.dtype.kind in "iuf":
        return np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(np.uint16).reshape(array.shape)
    raise TypeError(f"a state holds a {type(leaf).__name__} of type {array.dtype}; states are arrays and numbers")


def save_state(state: Any) -> bytes:
    """Return `state` as the bytes of a safetensors file.

    Raises
    ------
    TypeError
        If a leaf is neither an array nor a number.
    """
    return bytes(save({path: _array(leaf) for path, leaf in _leaves(state)}, metadata={"kind": "jackdaw state 1"}))


def load_state(blob: bytes, like: Any) -> Any:
    """Return the state that :func:`save_state` saved.

    Parameters
    ----------
    blob
        What was saved.
    like
        A fresh state of the same model; its values do not matter.

    Raises
    ------
    ValueError
        If the bytes are damaged or belong to another model.
    """
    try:
        tensors = load(blob)
    except SafetensorError as error:
        raise ValueError(f"the saved state is damaged: {error}") from error
    expected = {path: _array(leaf) for path, leaf in _leaves(like)}
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))[:3]
        raise ValueError(f"the saved state belongs to another model or version (differs in {', '.join(odd)})")
    for path, leaf in expected.items():
        if tensors[path].shape != leaf.shape or tensors[path].dtype != leaf.dtype:
            raise ValueError(
                f"{path} of the saved state is {tensors[path].dtype}{tensors[path].shape}, "
                f"this model has {leaf.dtype}{leaf.shape}"
            )
    return _rebuilt(like, tensors, "state")


def _rebuilt(like: Any, tensors: dict[str, NDArray[Any]], path: str) -> Any:
    if isinstance(like, dict):
        return {key: _rebuilt(item, tensors, f"{path}/{key}") for key, item in like.items()}
    if isinstance(like, tuple | list):
        items = [_rebuilt(item, tensors, f"{path}/{index}") for index, item in enumerate(like)]
        return type(like)(*items) if hasattr(like, "_fields") else type(like)(items)
    if like is None:
        return None
    stored = tensors[path]
    dtype = np.asarray(like).dtype
    array = stored.view(dtype) if dtype.name == "bfloat16" else stored
    if isinstance(like, bool | int | float):
        return type(like)(array)
    return array[()] if array.ndim == 0 else array
