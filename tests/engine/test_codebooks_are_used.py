"""Codebooks made by k-means: no level wastes its codes, however little direction there is in what it is to tell."""

from itertools import pairwise

import numpy as np
import pytest

from jackdaw.engine.training._codec_start import start_codebooks


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Sums of two of forty directions, some strong and some weak, and noise in all 120 numbers."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(40, 120)) * rng.uniform(0.2, 2.0, (40, 1))
    chosen = directions[rng.integers(40, size=(8192, 2))] * rng.lognormal(sigma=0.5, size=(8192, 2, 1))
    return (chosen.sum(axis=1) + 0.5 * rng.normal(size=(8192, 120))).astype(np.float32)


def test_every_level_uses_its_codes_and_tells_more(vectors: np.ndarray) -> None:
    books = start_codebooks(vectors, np.ones((5, 1, 1), np.float32), 0, 64)
    rest, left = vectors.copy(), [1.0]
    for book in books:
        codes = ((rest[:, None] - book) ** 2).sum(axis=-1).argmin(axis=1)
        share = np.bincount(codes, minlength=64) / len(codes)
        assert np.mean(share > 0.1 / 64) > 0.95
        rest -= book[codes]
        left.append(float((rest**2).sum() / (vectors**2).sum()))
    assert all(after < 0.95 * before for before, after in pairwise(left))


def test_a_level_tells_only_what_is_its_own(vectors: np.ndarray) -> None:
    telling = np.ones((2, 1, 120), np.float32)
    telling[1, :, 20:] = 0.0
    books = start_codebooks(vectors, telling, 0, 64)
    assert books[0][:, 20:].any()
    assert books[1][:, :20].any()
    assert not books[1][:, 20:].any()
