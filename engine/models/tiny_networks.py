"""The networks of `tiny`, compiled: one frame of one or several streams in one call.

All streams of a call share the weights' way through the processor's caches, which is most of what a frame costs. Every
stream is guided by what leads it (musical time, harmony, notes), as its steer says: left to itself,
the model goes on with what it has played and hardly turns to a new chord. Guided by style by hand, a stream has a third
history (a row). A call is compiled once for each number of streams, and for guided by style and not: if not, the first
row stands for the third. In a guided call, a stream whose guidance is 0 plays what it would play unguided.

Matrices are bfloat16 where they lie, float32 where they are multiplied. Invariants: nothing of a stream depends on the
others of a call, up to rounding. States are values.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import tiny_codec as codec
from jackdaw.engine.models import tiny_lm as lm
from jackdaw.engine.models import tiny_lm_stream as stream
from jackdaw.engine.models import tiny_spectrum as spectrum
from jackdaw.engine.models.products import halved
from jackdaw.engine.runtime import cpu

__all__ = ["Networks"]

Params = Mapping[str, Any]
State = Mapping[str, Any]


def _encode(params: Params, bands: jax.Array, *, config: codec.CodecConfig) -> jax.Array:
    """Return the codes (batch, sound_levels) of a token frame's bands, (batch, FRAMES_PER_TOKEN, 3, BANDS)."""
    latent = codec.encode_latent(params, codec.encode_init(config), bands, config=config)[1][:, 0]
    return codec.nearest(params["search"], latent)


def _encode_whole(params: Params, bands: jax.Array, phases: jax.Array, *, config: codec.CodecConfig) -> jax.Array:
    """Return the codes (batch, levels) of a token frame's bands, and phases (batch, FRAMES_PER_TOKEN, TURNS)."""
    codes = _encode(params, bands, config=config)
    tones, envelope = codec.encode_detail(params, bands, phases, codes[:, None])
    finer = codec.nearest(params["search_tones"], tones[:, 0]), codec.nearest(params["search_envelope"], envelope[:, 0])
    return jnp.concatenate([codes, *finer], axis=-1)


def _mix(
    params: Params, bands: jax.Array, own: jax.Array, gains: jax.Array, *, config: codec.CodecConfig
) -> tuple[jax.Array, jax.Array]:
    """Return the codes (sound_levels,) of what sounds together, and of what is heard alone."""
    heard = gains[0] * bands
    mixed = jnp.sqrt(heard**2 + (gains[1] * own) ** 2)
    codes = _encode(params, jnp.stack([mixed, heard]), config=config)
    return codes[0], codes[1]


def _decode(params: Params, state: Any, codes: jax.Array, *, config: codec.CodecConfig) -> Any:
    return codec.decode_step(params, state, codes[..., None, :], config=config)


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _parts(tree: Any, count: int) -> list[Any]:
    return [jax.tree.map(lambda leaf: leaf[index], tree) for index in range(count)]  # noqa: B023


def _frame(
    params: Params,
    played: Sequence[jax.Array],
    heard: Sequence[jax.Array],
    decoders: Sequence[Any],
    rows: Sequence[stream.Row],
    steer: Mapping[str, Any],
    *,
    codec_config: codec.CodecConfig,
    lm_config: lm.LMConfig,
) -> tuple[list[stream.Row], list[dict[str, Any]]]:
    """Return the next rows, and of each stream what it chose and what follows from that."""
    noise = jax.vmap(partial(stream.sampling_noise, lm_config))(steer["seed"], steer["frame"])
    following, chosen = stream.step(
        params["lm"],
        lm_config,
        rows,
        jnp.stack(played),
        jnp.stack(heard),
        steer["cond"],
        noise,
        steer["temperature"],
        steer["top_k"],
        steer["guidance"],
    )
    decoder, bands, turns, _ = _decode(params["codec"], _stacked(decoders), chosen, config=codec_config)
    return following, _parts({"codes": chosen, "bands": bands, "turns": turns, "decoder": decoder}, len(played))


class Networks:
    """Codec and language model with their weights.

    Parameters
    ----------
    params
        ``codec`` and ``lm``: the networks' parameters, float32 or, as files hold them, bfloat16.
    codec_config, lm_config
        Their shapes. The codec's levels that tell the sound as a whole, the first ones, are the language model's.

    Raises
    ------
    ValueError
        If the two networks do not fit each other.
    """

    def __init__(self, params: Params, codec_config: codec.CodecConfig, lm_config: lm.LMConfig) -> None:
        if (codec_config.sound_levels, codec_config.codebook) != (lm_config.levels, lm_config.codebook):
            raise ValueError(
                f"the codec tells sound in {codec_config.sound_levels} levels of {codec_config.codebook} codes, the "
                f"language model has {lm_config.levels} of {lm_config.codebook}: these weights do not belong together"
            )
        detail = params["codec"]["detail"]
        by_level = {
            "codec": {
                **params["codec"],
                "codebooks": tuple(params["codec"]["codebooks"]),
                "detail": {**detail, **{name: tuple(detail[name]) for name in ("tones", "envelope")}},
                "search": codec.searchable(params["codec"]["codebooks"]),
                "search_tones": codec.searchable(detail["tones"]),
                "search_envelope": codec.searchable(detail["envelope"]),
            },
            "lm": stream.by_level(params["lm"]),
        }
        self._params = cpu.settled(halved(by_level))
        self._codec_config, self._lm_config = codec_config, lm_config
        self._nothing = jnp.full(lm_config.levels, lm.NOTHING, jnp.int32)
        self._frame = jax.jit(partial(_frame, codec_config=codec_config, lm_config=lm_config))
        self._encode = jax.jit(partial(_encode_whole, config=codec_config))
        self._mix = jax.jit(partial(_mix, config=codec_config))
        self._decode = jax.jit(partial(_decode, config=codec_config))

    def init(self, seed: int) -> dict[str, Any]:
        """Return a stream that has played nothing; `seed` is 0 .. 2**32 - 1."""
        nothing = self._nothing
        row = stream.init_row(self._lm_config)
        return {
            "seed": np.uint32(seed),
            "frame": np.uint32(0),
            "codes": nothing,
            "context": nothing,
            "bands": jnp.zeros((spectrum.FRAMES_PER_TOKEN, 3, spectrum.BANDS), jnp.float32),
            "turns": jnp.zeros((spectrum.FRAMES_PER_TOKEN, spectrum.TURNS), jnp.float32),
            "decoder": codec.decode_init(self._codec_config),
            "lm": (row, row, row),
        }

    def advance(self, states: Sequence[State], steers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Make the next frame of every stream.

        Parameters
        ----------
        states
            From :meth:`init` or an earlier call.
        steers
            For each stream ``heard`` (None, or bands of the input, (FRAMES_PER_TOKEN, 3, BANDS)), ``gains`` (of the
            input and of the model's own part), ``temperature``, ``guidance`` (float32), ``top_k`` (int32), ``grip``
            (float32 (GUIDED_LEVELS,), weights of the guidance by what leads), and ``cond``: the whole condition, the
            one without what leads and the one without the style, float32 (3, CONDITION_SIZE).

        Returns
        -------
        list
            The next states; ``bands`` and ``turns`` are what to play, ``codes`` what was chosen, ``context`` what the
            model was told was played before.
        """
        guided = any(steer["guidance"] > 0 for steer in steers)
        ways = (0, 1, 2) if guided else (0, 1)
        given: dict[str, Any] = {name: np.stack([steer[name] for steer in steers]) for name in ("temperature", "top_k")}
        given |= {name: np.stack([state[name] for state in states]) for name in ("seed", "frame")}
        given["cond"] = np.stack([steer["cond"][way] for way in ways for steer in steers])
        by_hand = np.array(lm.GRIP) > 0  # the levels that tell the score
        weights = [[steer["grip"] for steer in steers], [steer["guidance"] * by_hand for steer in steers]]
        given["guidance"] = np.array(weights[: len(ways) - 1], np.float32)
        known = [self._known(state, steer) for state, steer in zip(states, steers, strict=True)]
        played, heard = [mixed for mixed, _ in known], [alone for _, alone in known]
        heard = heard * len(ways)
        rows = [state["lm"][way] for way in ways for state in states]
        rows, made = self._frame(self._params, played, heard, [state["decoder"] for state in states], rows, given)
        following = []
        for index, (state, steer, part) in enumerate(zip(states, steers, made, strict=True)):
            unstyled = index + 2 * len(states) if steer["guidance"] > 0 else index
            own = rows[index], rows[index + len(states)], rows[unstyled]
            counted = {"seed": state["seed"], "frame": np.uint32(state["frame"] + np.uint32(1))}
            following.append({**counted, **part, "context": played[index], "lm": own})
        return following

    def _known(self, state: State, steer: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
        """Return the last frame's codes, chosen or of the mix with what is heard, and the codes of the latter."""
        if steer["heard"] is None or not state["frame"]:
            return state["codes"], self._nothing
        both: tuple[jax.Array, jax.Array] = self._mix(
            self._params["codec"], steer["heard"], state["bands"], steer["gains"]
        )
        return both

    def encode(self, bands: NDArray[np.float32], phases: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return a token frame's codes (levels,) from bands (FRAMES_PER_TOKEN, 3, BANDS) and phases (..., TURNS)."""
        return np.asarray(self._encode(self._params["codec"], bands[None], phases[None])[0])

    def decode(self, state: Any, codes: NDArray[np.int32]) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
        """Return the decoder's next state, and bands and phases of a token frame; `state` None starts a stream."""
        state = codec.decode_init(self._codec_config) if state is None else state
        state, bands, _, phases = self._decode(self._params["codec"], state, codes)
        return state, np.asarray(bands), np.asarray(phases)
