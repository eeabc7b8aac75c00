"""What a session is opened with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jackdaw.engine.parameters import MAX_PROMPTS
from jackdaw.engine.prompts import Prompt

__all__ = ["Options"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a session plays.

    Parameters
    ----------
    seed
        Of the model; equal seed, equal music.
    floor_s, ceiling_s
        Least and most music kept ready, seconds: 0.02 to 2, and from there up to 10.
    hear
        ``aligned`` (input to answer takes the same time always) or ``newest`` (as little as can be); None = as suits
        the model.
    parameters
        Values of knobs, by name; the others start at their defaults.
    prompts
        To start with, at most 6.
    listen
        An audio file that is heard round and round in the place of the input.
    state
        Saved by :func:`~jackdaw.engine.state.save_state`, to go on from; None: a fresh one of the seed.
    state_hash
        Hash of the weights that the state was made with; None: not known.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    seed: int = 0
    floor_s: float = 0.2
    ceiling_s: float = 2.0
    hear: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    prompts: Sequence[Prompt] = ()
    listen: str | Path | None = None
    state: bytes | None = None
    state_hash: str | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; give a whole number from 0")
        if not 0.02 <= self.floor_s <= 2.0 or not self.floor_s <= self.ceiling_s <= 10.0:
            raise ValueError(
                f"{self.floor_s:g} to {self.ceiling_s:g} s of music kept ready: give 0.02 to 2, and up to 10"
            )
        if self.hear not in (None, "aligned", "newest"):
            raise ValueError(f"hear is {self.hear!r}; give 'aligned' or 'newest'")
        if len(self.prompts) > MAX_PROMPTS:
            raise ValueError(f"{len(self.prompts)} prompts; give at most {MAX_PROMPTS}")
