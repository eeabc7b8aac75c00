"""Models of these tests: the test models, and a `tiny` and a Magenta RealTime 2 with small random networks."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from jackdaw.engine.models.beep import VARIANTS, Beep
from jackdaw.engine.models.contract import Model

WORDS = ["disco", "slow", "blues", "rock"]


def random_tree(init: Callable[[], Any]) -> Any:
    """Return random arrays of the shapes that `init` would make, without computing it."""
    generator = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: (0.3 * generator.normal(size=leaf.shape)).astype(np.float32), jax.eval_shape(init))


@cache
def small_tiny() -> Model:
    from jackdaw.engine.models import tiny, tiny_codec, tiny_lm, tiny_style

    codec = tiny_codec.CodecConfig(
        width=32,
        hidden=48,
        latent=16,
        sound_levels=3,
        tone_levels=2,
        envelope_levels=1,
        codebook=64,
        decoder_coarse=1,
        decoder_fine=1,
        components=12,
    )
    language = tiny_lm.LMConfig(
        levels=3, codebook=64, layers=2, width=32, heads=2, depth_width=16, depth_hidden=24, window=12, period=64
    )
    key = jax.random.key(0)
    params = {
        "codec": random_tree(lambda: tiny_codec.init_params(key, codec)),
        "lm": random_tree(lambda: tiny_lm.init_params(language, 0)),
    }
    params["codec"]["decoder"]["write"]["kernel"] *= 0.01  # or it would be too loud for any ring
    bands, mask = np.zeros((1, 8, tiny_style.BANDS), np.float32), np.ones((1, 8), np.float32)
    styles = {
        "text": {
            "table": np.random.default_rng(0).integers(-127, 128, (len(WORDS), 128), dtype=np.int8),
            "scale": np.ones(len(WORDS), np.float16),
            "votes": np.random.default_rng(1).integers(-127, 128, (len(WORDS), 3), dtype=np.int8),
            "vote_scale": np.ones(len(WORDS), np.float16),
            "groups": np.eye(3, 128, dtype=np.float16),
        },
        "audio": random_tree(lambda: tiny_style.AudioTower().init(key, bands, mask)["params"]),
    }
    return tiny.Tiny(params, codec, language, styles, WORDS)


def small_mrt2() -> Model:
    from mrt2_models import small_mrt2

    return small_mrt2()


MAKERS: dict[str, Callable[[], Model]] = {variant: (lambda v=variant: Beep(v)) for variant in VARIANTS} | {
    "tiny": small_tiny,
    "mrt2": small_mrt2,
}


@pytest.fixture(params=sorted(MAKERS))
def model(request: pytest.FixtureRequest) -> Model:
    return MAKERS[request.param]()


@pytest.fixture
def tiny() -> Model:
    return small_tiny()
