"""The list of models, by the names that users give."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from jackdaw.engine.models.contract import Model
from jackdaw.engine.weights import installed, mrt2
from jackdaw.engine.weights.tiny import FILES, load_tiny

__all__ = ["DOWNLOADS", "MODELS", "Entry", "find_model", "load_model", "look_up"]

_BUNDLED = Path(str(files("jackdaw.engine.models"))) / "weights"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model that can be asked for.

    Parameters
    ----------
    name
        As users type it.
    description
        One line for users.
    hear
        How a live session hears for it: ``newest`` (least delay) or ``aligned`` (a constant delay to the sample).
    loader
        Makes the model; reads the weights.
    weights
        Names of the weight files; none for test models.
    bundled
        Whether they come with the package; others are fetched by ``jackdaw models download``.
    root
        Folder of the weight files, if it isn't the usual one.
    """

    name: str
    description: str
    hear: str
    loader: Callable[[], Model]
    weights: tuple[str, ...] = ()
    bundled: bool = True
    root: Path | None = None

    def weight_files(self) -> list[Path]:
        """Return where the weights are expected; empty if none are needed."""
        folder = self.root or (_BUNDLED if self.bundled else installed.folder(self.name))
        return [folder / name for name in self.weights]

    def present_files(self) -> list[Path]:
        """Return the files of the weights.

        Raises
        ------
        FileNotFoundError
            If some are missing; the text says which and what to do.
        """
        files = self.weight_files()
        missing = [str(path) for path in files if not path.is_file()]
        if missing:
            remedy = "install jackdaw again" if self.bundled else f"run `jackdaw models download {self.name}`"
            raise FileNotFoundError(
                f"weights of {self.name} are missing: there is no {', '.join(missing)}; {remedy}, or run "
                "`jackdaw models` to see which models can play"
            )
        return files

    def load(self) -> Model:
        """Make the model.

        Raises
        ------
        FileNotFoundError
            If weights are missing; the text says which and what to do.
        ValueError
            If a weight file is damaged.
        ModuleNotFoundError
            If it needs an optional package that isn't installed.
        """
        self.present_files()
        return self.loader()


def _beep(variant: str) -> Callable[[], Model]:
    def load() -> Model:
        from jackdaw.engine.models.beep import Beep

        return Beep(variant)

    return load


def _tiny() -> Model:
    model: Model = load_tiny(_BUNDLED)
    return model


def _mrt2(name: str, size: str) -> Entry:
    def load() -> Model:
        model: Model = mrt2.load_mrt2(name, installed.folder(name))
        return model

    return Entry(
        name=name,
        description=f"Magenta RealTime 2 ({size} parameters): hears you, plays styles from words or audio, and notes",
        hear="newest",
        loader=load,
        weights=mrt2.files(name),
        bundled=False,
    )


MODELS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="tiny",
            description="the bundled live model: hears you, plays styles from words or audio",
            hear="newest",
            loader=_tiny,
            weights=FILES,
        ),
        _mrt2("mrt2_small", "230 million"),
        _mrt2("mrt2_base", "2.4 thousand million"),
        Entry(name="beep", description="test: beeps, and echoes what it hears", hear="aligned", loader=_beep("beep")),
        Entry(name="beep-echo", description="test: the echo alone", hear="aligned", loader=_beep("beep-echo")),
        Entry(name="beep-ramp", description="test: a sample-exact ramp", hear="aligned", loader=_beep("beep-ramp")),
    )
}


DOWNLOADS = tuple(entry.name for entry in MODELS.values() if not entry.bundled)
"""Names of the models that are fetched."""


def look_up(name: str) -> Entry | None:
    """Return the model of that name, or of ``NAME@CHECKPOINT``: the same with a checkpoint of the user's own.

    None if there is no such name. Files that belong to it are those in the official layout round the checkpoint
    (``../resources``), if there are any, else those that were fetched.

    Raises
    ------
    ValueError
        If it takes no checkpoint.
    """
    plain, at, checkpoint = name.partition("@")
    entry = MODELS.get(plain)
    if entry is None or not at:
        return entry
    if entry.bundled:
        raise ValueError(f"{plain} takes no checkpoint; those that do are: {', '.join(DOWNLOADS)}")
    file = Path(checkpoint).expanduser().absolute()
    root = file.parent.parent
    if not (root / "resources").is_dir():
        root = installed.folder(plain)
    weights = (str(file), *mrt2.files(plain)[1:])

    def load() -> Model:
        model: Model = mrt2.load_mrt2(plain, root, file)
        return model

    return replace(entry, loader=load, weights=weights, root=root)


def find_model(name: str) -> Entry:
    """Return what :func:`look_up` finds.

    Raises
    ------
    ValueError
        If there is none, or it takes no checkpoint.
    """
    entry = look_up(name)
    if entry is None:
        raise ValueError(f"no model named {name.partition('@')[0]!r}; there are: {', '.join(MODELS)}")
    return entry


def load_model(name: str) -> Model:
    """Make the model of a name that :func:`find_model` takes.

    Raises
    ------
    ValueError
        If there is none, or a weight file is damaged.
    FileNotFoundError
        If its weights are missing.
    """
    return find_model(name).load()
