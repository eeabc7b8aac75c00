"""The codec of `tiny` on whole waveforms: audio to codes and back, aligned to the sample.

Offline convenience over the streaming functions of ``tiny_codec`` and ``tiny_spectrum``; keeps no state between calls.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models import tiny_codec, tiny_spectrum
from jackdaw.engine.models.contract import Audio
from jackdaw.engine.models.tiny_codec import CodecConfig, Params
from jackdaw.engine.models.tiny_spectrum import FRAMES_PER_TOKEN, LOOKAHEAD, TOKEN_SAMPLES

__all__ = ["TinyCodec"]

_CHUNK = 100
"""Token frames computed at a time."""


class TinyCodec:
    """Encode and decode whole waveforms.

    Parameters
    ----------
    params
        As :func:`~jackdaw.engine.models.tiny_codec.init_params` makes them, or a weight file's.
    config
        Shape of the network.
    """

    def __init__(self, params: Params, config: CodecConfig | None = None) -> None:
        self._config = CodecConfig() if config is None else config
        self._params = jax.tree.map(jnp.asarray, params)
        self._encode = jax.jit(lambda *given: self._step(tiny_codec.encode_step, *given))
        self._decode = jax.jit(lambda *given: self._step(tiny_codec.decode_step, *given))

    def _step(self, step: Any, *given: Any) -> Any:
        return step(self._params, *given, config=self._config)

    def encode(self, audio: Audio) -> NDArray[np.int32]:
        """Return the codes of stereo audio at 48 kHz.

        Parameters
        ----------
        audio
            float32, shape (samples, 2); silence completes the last token frame.

        Returns
        -------
        codes
            int32, shape (ceil(samples / TOKEN_SAMPLES), levels).

        Raises
        ------
        ValueError
            If the audio is not stereo.
        """
        frames = -(-len(audio) // TOKEN_SAMPLES)
        padded = np.pad(audio, ((0, _pad(frames) * TOKEN_SAMPLES - len(audio)), (0, 0)))
        ear, state, parts = tiny_spectrum.analyse_init(), tiny_codec.encode_init(self._config), []
        for chunk in padded.reshape(-1, _CHUNK * TOKEN_SAMPLES, padded.shape[1]):
            ear, bands, spectra = tiny_spectrum.analyse_step(ear, chunk)
            state, codes = self._encode(state, bands, tiny_spectrum.phases_of_spectra(spectra))
            parts.append(np.asarray(codes))
        return np.concatenate(parts)[:frames]

    def decode(self, codes: NDArray[np.int32], seed: int = 0) -> Audio:
        """Return the audio of codes, aligned with what :meth:`encode` was given.

        Parameters
        ----------
        codes
            int32, shape (frames, levels or fewer).
        seed
            Of the random phases of very quiet bins.

        Returns
        -------
        audio
            float32, shape (frames * TOKEN_SAMPLES, 2).
        """
        frames = len(codes)
        padded = np.pad(codes, ((0, _pad(frames) - frames), (0, 0)))
        state, parts = tiny_codec.decode_init(self._config), []
        for chunk in padded.reshape(-1, _CHUNK, codes.shape[1]):
            state, *made = self._decode(state, chunk)
            parts.append([np.asarray(part) for part in made if part is not None])
        whole = [np.concatenate(part)[: frames * FRAMES_PER_TOKEN] for part in zip(*parts, strict=True)]
        padded_parts = [np.pad(part, [(0, FRAMES_PER_TOKEN)] + [(0, 0)] * (part.ndim - 1)) for part in whole]
        _, audio = tiny_spectrum.synthesise_step(tiny_spectrum.synthesise_init(seed), *padded_parts)
        return audio[LOOKAHEAD : LOOKAHEAD + frames * TOKEN_SAMPLES]


def _pad(frames: int) -> int:
    """Round up to whole chunks, at least one, so that one shape is compiled."""
    return max(1, -(-frames // _CHUNK)) * _CHUNK
