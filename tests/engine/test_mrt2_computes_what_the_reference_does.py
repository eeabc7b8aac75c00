"""With equal weights, Magenta RealTime 2 here computes what Google's player does: tensors, and codes one by one.

Weights are random, so this says that the arithmetic is the same, not how the music sounds.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import mrt2_models as models
import numpy as np
import pytest
from numpy.typing import NDArray

from jackdaw.engine.models import mrt2_conditioning as conditioning
from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models import mrt2_sampler as sampler
from jackdaw.engine.models.mrt2_config import MRT2Config

CLOSE = 4e-5
NAMES = ["reduced", "small"]
OUTLOOKS = {"reduced": slice(None), "small": slice(0, 48, 9)}
LOGITS = {"reduced": slice(0, 120, 12), "small": slice(44, 45)}


def far(found: Any, wanted: Any) -> float:
    """Largest difference, in standard deviations of what is wanted: that of the outlooks is 6, that of logits 2.5."""
    return float(np.max(np.abs(np.asarray(found) - wanted)) / np.std(wanted))


def test_guidance_has_the_reference_token_at_every_hundredth() -> None:
    scales = [n / 100 for n in range(-200, 801)]
    golden = models.golden("guidance")
    assert [conditioning.guidance_token(scale, 0.2) for scale in scales] == golden["fine"].tolist()
    assert [conditioning.guidance_token(scale, 1.0) for scale in scales] == golden["coarse"].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_conditioning_is_embedded_alike(name: str) -> None:
    config, params = models.network(name)
    golden = models.golden(name)
    found = conditioning.condition(params["encoder"], config, jnp.asarray(golden["rows"], jnp.int32))
    assert far(found, golden["condition"]) <= CLOSE / 4


@pytest.mark.parametrize("name", NAMES)
def test_stacks_compute_alike_past_the_window(name: str) -> None:
    config, params = models.network(name)
    golden = models.golden(name)
    assert len(golden["codes"]) > config.window + 2

    codes, told = jnp.asarray(models.before(golden["codes"]))[None], jnp.asarray(golden["condition"])[None]
    outlook = jax.jit(partial(depthformer.temporal, config=config))(params["decoder"], codes=codes, conditioning=told)[
        0
    ]
    assert far(outlook[OUTLOOKS[name]], golden["outlook"]) <= CLOSE

    own = jnp.asarray(golden["codes"], jnp.int32)[LOGITS[name]]
    logits = jax.jit(partial(depthformer.depth, config=config))(
        params["decoder"], outlook=outlook[LOGITS[name]], codes=own
    )
    bent = np.tanh(golden["logits"] / depthformer.SOFT_CAP) * depthformer.SOFT_CAP
    assert far(logits, bent) <= CLOSE
    assert np.std(bent) > 1.0


@partial(jax.jit, static_argnums=0)
def step(
    config: MRT2Config,
    params: Any,
    state: Any,
    before: jax.Array,
    told: jax.Array,
    noise: jax.Array,
    knobs: Any,
    guidance: jax.Array | None,
) -> tuple[Any, jax.Array]:
    known = conditioning.condition(params["encoder"], config, told)
    again = jnp.broadcast_to(before, (len(told), config.levels))
    state, outlook = depthformer.advance(params["decoder"], config, state, again, known)
    return state, sampler.sample_frame(params["decoder"], config, outlook, noise, *knobs, guidance)


@pytest.mark.parametrize(
    ("run", "steer"),
    [
        ("", {"temperature": 1.3, "top_k": 40, "top_p": 1.0}),
        ("greedy_", {"temperature": 0.0, "top_k": 40, "top_p": 1.0}),
        ("top_p_", {"temperature": 1.0, "top_k": 128, "top_p": 0.8}),
        ("guided_", {"temperature": 0.9, "top_k": 50, "top_p": 1.0, "guidance": [1.5, 0.7]}),
    ],
)
def test_codes_are_the_same_for_equal_noise(run: str, steer: dict[str, Any]) -> None:
    config, params = models.network("reduced")
    golden = models.golden("reduced")
    wanted = golden[f"{run}codes"]
    knobs = jnp.float32(steer["temperature"]), jnp.int32(steer["top_k"]), jnp.float32(steer["top_p"])
    guidance = None if "guidance" not in steer else jnp.asarray(steer["guidance"], jnp.float32)
    rows = [golden["rows"].astype(np.int32)]
    if guidance is not None:
        rows += [np.stack([conditioning.masked(config, row, what) for row in rows[0]]) for what in ("style", "notes")]

    state, codes = depthformer.init(config, len(rows)), jnp.full(config.levels, depthformer.NOTHING, jnp.int32)
    found: list[NDArray[Any]] = []
    told = np.stack(rows, axis=1)
    for frame, noise in enumerate(models.reference_noise(config, golden[f"{run}key"], len(wanted))):
        state, codes = step(config, params, state, codes, jnp.asarray(told[frame]), noise, knobs, guidance)
        found.append(np.asarray(codes))
    np.testing.assert_array_equal(np.stack(found), wanted)
