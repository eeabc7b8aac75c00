"""What people say instead of the name of a style: artists, places, dances, scenes, instruments, years.

The sayings stand in ``lexicon.toml``; :mod:`jackdaw.engine.training._votes` teaches word pieces which styles they stand
for, and captions use some. The keys are families of :mod:`jackdaw.engine.training._styles`, or names of its groups
where no family is meant. None of the words in which `make eval` asks for styles that it calls unseen may stand there,
inflected or not (a test holds them apart), unless captions use the word anyway.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np

from jackdaw.engine.training._styles import GROUPS

__all__ = ["LEXICON", "meanings", "sayings"]

LEXICON: dict[str, list[str]] = {
    name: said.replace("\n", "|").split("|")
    for name, said in tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text(encoding="utf-8")).items()
}
"""What is said for each style."""


def meanings() -> list[tuple[str, str]]:
    """Pairs of what is said and the style that it stands for."""
    return [(said, name) for name, some in LEXICON.items() for said in some]


def sayings(family: str, group: str, own: int, others: int, rng: np.random.Generator) -> list[str]:
    """Draw what people say for a style, and some of what they say for its group.

    Parameters
    ----------
    family, group
        As in :mod:`jackdaw.engine.training._styles`.
    own, others
        How many phrases, at most, for the family and for the group; for a family without words of its own, the group's.
    rng
        Chooses.
    """
    wide = [said for name in dict.fromkeys((group, *GROUPS[group].names)) for said in LEXICON.get(name, ())]
    narrow = LEXICON.get(family) or wide
    drawn = [*rng.permutation(narrow)[:own], *rng.permutation(wide)[:others]]
    return list(dict.fromkeys(map(str, drawn)))
