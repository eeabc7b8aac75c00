"""Small plots, as PNG files in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["histograms", "matrix", "pairs", "series"]

_SIZE = (6.4, 2.8)


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, dpi=80)
    plt.close(figure)
    return out.getvalue()


def histograms(groups: Mapping[str, Any], bins: Any, label: str) -> bytes:
    """Draw how figures are spread, a colour a group."""
    figure, axis = plt.subplots(figsize=_SIZE, layout="constrained")
    for name, values in groups.items():
        weights = np.full(len(values), 1 / max(1, len(values)))
        axis.hist(values, bins=bins, weights=weights, alpha=0.55, label=name)
    axis.set(xlabel=label, ylabel="share")
    axis.legend(fontsize=8)
    return _png(figure)


def matrix(names: Sequence[str], counts: Any, title: str) -> bytes:
    """Draw a confusion matrix: what was asked for in rows, what was heard in columns."""
    figure, axis = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
    table = np.asarray(counts, float)
    axis.imshow(table / np.maximum(table.sum(axis=1, keepdims=True), 1), vmin=0, vmax=1, cmap="Blues")
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set(title=title, xlabel="heard", ylabel="asked for")
    return _png(figure)


def pairs(one: Sequence[float], other: Sequence[float], labels: tuple[str, str]) -> bytes:
    """Draw pairs: a point above the diagonal is one in which the second is larger."""
    figure, axis = plt.subplots(figsize=(3.6, 3.4), layout="constrained")
    axis.plot([0, 1], [0, 1], color="0.7", lw=1)
    axis.plot(one, other, "o", ms=4, alpha=0.7)
    low, high = min([*one, *other, 0.2]) - 0.02, max([*one, *other, 0.5]) + 0.02
    axis.set(xlim=(low, high), ylim=(low, high), xlabel=labels[0], ylabel=labels[1])
    return _png(figure)


def series(lines: Mapping[str, tuple[Any, Any]], x: str, y: str) -> bytes:
    """Draw lines: name -> (x, y)."""
    figure, axis = plt.subplots(figsize=_SIZE, layout="constrained")
    for name, (across, up) in lines.items():
        axis.plot(across, up, label=name, lw=1)
    axis.set(xlabel=x, ylabel=y)
    axis.legend(fontsize=8)
    return _png(figure)
