"""Magenta RealTime 2 by JAX: the exact one, for GPUs and TPUs, and what others are measured by. In float32.

A :class:`~jackdaw.engine.models.mrt2.Player`. Taking a frame in, choosing its codes and decoding them are a compiled
call each, so that a frame that is taken in again, with what was heard over it, is taken in by the very arithmetic of
the first time. What steers a frame is traced: no control compiles anything. States are values; none is donated, since
whoever has one may go on from it again.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import mrt2_conditioning as conditioning
from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models import mrt2_sampler as sampler
from jackdaw.engine.models import spectrostream as codec
from jackdaw.engine.models.contract import Audio
from jackdaw.engine.models.mrt2 import Codes
from jackdaw.engine.models.mrt2_config import MRT2Config
from jackdaw.engine.runtime import cpu

__all__ = ["JaxPlayer"]

Tree = Mapping[str, Any]
Row = NDArray[np.int32]

_GUIDED = ("style", "notes", "drums")


def _taken_in(params: Tree, past: Any, codes: jax.Array, rows: jax.Array, *, config: MRT2Config) -> Any:
    known = conditioning.condition(params["conditioning"], config, rows)
    before = jnp.broadcast_to(codes, (len(rows), config.levels))
    return depthformer.advance(params["decoder"], config, past, before, known)


def _chosen(
    params: Tree,
    outlook: jax.Array,
    noise: jax.Array,
    knobs: tuple[jax.Array, jax.Array, jax.Array],
    guidance: jax.Array | None,
    *,
    config: MRT2Config,
) -> jax.Array:
    return sampler.sample_frame(params, config, outlook, noise, *knobs, guidance)


def _decoded(params: Tree, decoder: Any, codes: jax.Array) -> Any:
    return codec.decode_step(params["synthesis"], decoder, codec.dequantise(params["books"], codes[None]))


def _encoded(params: Tree, encoder: Any, audio: jax.Array, *, levels: int) -> tuple[Any, jax.Array]:
    encoder, embedding = codec.encode_step(params["encoder"], encoder, audio)
    return encoder, codec.quantise(params["books"], embedding, levels)[0]


def _compiled(step: Callable[..., Any], **sizes: Any) -> Callable[..., Any]:
    """Compile a step in float32 throughout: accelerators would take fewer bits for products."""

    def exact(*given: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return step(*given, **sizes)

    return jax.jit(exact)


class JaxPlayer:
    """See the module.

    Parameters
    ----------
    params
        The official tree below ``params/``: ``depthformer`` and ``soundstream`` of a checkpoint, and ``encoder`` of the
        codec's own file, without which the player can't hear. NumPy arrays.
    config
        Of the model.
    branches
        What is guided by classifier-free guidance in earnest, beside being told how strongly: ``style``, ``notes``
        or ``drums``. Each costs as much as the language model again.
    top_p
        Of :func:`~jackdaw.engine.models.mrt2_sampler.choose`.

    Raises
    ------
    ValueError
        If a branch has another name.
    """

    delay = 1
    """Frames between a frame's codes and its sound: the decoder looks one ahead."""

    def __init__(
        self,
        params: Tree,
        config: MRT2Config,
        *,
        branches: tuple[str, ...] = (),
        top_p: float = 1.0,
    ) -> None:
        if not set(branches) <= set(_GUIDED):
            raise ValueError(f"branches {branches}: each is one of {', '.join(_GUIDED)}")
        self.config = config
        self._branches, self._top_p = branches, np.float32(top_p)
        parts = {
            "conditioning": params["depthformer"]["encoder"],
            "decoder": depthformer.prepared(params["depthformer"]["decoder"], config),
            "synthesis": params["soundstream"]["decoder"],
            "books": params["soundstream"]["quantizer"]["embedding"][: config.levels],
        }
        self._hears = "encoder" in params
        self._params = cpu.settled(parts | ({"encoder": params["encoder"]} if self._hears else {}))
        self._unheard = codec.encode_init(self._params["encoder"]) if self._hears else None
        self._undecoded = codec.decode_init(self._params["synthesis"])
        self._taken_in = _compiled(_taken_in, config=config)
        self._chosen = _compiled(_chosen, config=config)
        self._decoded = _compiled(_decoded)
        self._encoded = _compiled(_encoded, levels=config.levels)

    def past(self) -> Any:
        """Return the past of a language model that has taken in nothing."""
        return depthformer.init(self.config, 1 + len(self._branches))

    def rewound(self, past: Any, frames: int) -> Any:
        """Return the past before the last frames, of which there are as many, up to SPARE."""
        return depthformer.rewound(past, frames)

    def _rows(self, row: Row) -> Row:
        return np.stack([row, *(conditioning.masked(self.config, row, what) for what in self._branches)])

    def take_in(self, past: Any, codes: Codes, row: Row) -> Any:
        """Return the past after a frame: `codes` of the one before it, and what it was told."""
        return self._taken_in(self._params, past, codes, self._rows(row))[0]

    def play(
        self,
        past: Any,
        decoder: Any,
        codes: Codes,
        row: Row,
        noise: NDArray[np.float32],
        temperature: float,
        top_k: int,
    ) -> tuple[Any, Any, Codes, Audio]:
        """Take in a frame, choose its codes, and decode; see :class:`~jackdaw.engine.models.mrt2.Player`."""
        past, outlook = self._taken_in(self._params, past, codes, self._rows(row))
        knobs = np.float32(temperature), np.int32(top_k), self._top_p
        scales = [conditioning.guidance_scale(row, what) for what in self._branches]
        guidance = np.array(scales, np.float32) if scales else None
        chosen = self._chosen(self._params["decoder"], outlook, noise, knobs, guidance)
        decoder, audio = self._decoded(self._params, decoder, chosen)
        return past, decoder, np.asarray(chosen), np.asarray(audio)

    def decoder(self) -> Any:
        """Return the past of a decoder that has decoded nothing."""
        return self._undecoded

    def decode(self, decoder: Any, codes: Codes) -> tuple[Any, Audio]:
        """Decode a frame, apart from playing."""
        decoder, audio = self._decoded(self._params, decoder, codes)
        return decoder, np.asarray(audio)

    def encoder(self) -> Any:
        """Return the past of an encoder that has heard nothing; None if the player can't hear."""
        return self._unheard

    def encode(self, encoder: Any, audio: Audio) -> tuple[Any, Codes]:
        """Return the codes of a frame.

        Raises
        ------
        ValueError
            If the player can't hear.
        """
        if not self._hears:
            raise ValueError("this player was made without the codec's encoder: give it the tree of `encoder` to hear")
        encoder, codes = self._encoded(self._params, encoder, audio)
        return encoder, np.asarray(codes)
