"""What jackdaw.dsp offers is what it lists."""

import inspect

from jackdaw import dsp


def test_every_listed_name_is_there_and_documented() -> None:
    assert sorted(dsp.__all__) == list(dsp.__all__)
    for name in dsp.__all__:
        thing = getattr(dsp, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name


def test_nothing_public_is_unlisted() -> None:
    public = {
        name
        for name, thing in vars(dsp).items()
        if not name.startswith("_") and (inspect.isclass(thing) or inspect.isfunction(thing))
    }
    assert public <= set(dsp.__all__)
