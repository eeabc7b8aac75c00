"""Promise: every public name of the bridge is listed, and what is listed is there."""

import importlib
import pkgutil

import pytest

import jackdaw.bridge

_MODULES = [f"jackdaw.bridge.{info.name}" for info in pkgutil.iter_modules(jackdaw.bridge.__path__)]


@pytest.mark.parametrize("name", _MODULES)
def test_names(name):
    module = importlib.import_module(name)
    public = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name
    }
    assert all(hasattr(module, key) for key in module.__all__)
    assert public <= set(module.__all__)
