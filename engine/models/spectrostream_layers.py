"""The layers of SpectroStream: causal convolutions over time and frequency that go on where they stopped.

Arrays are (sides, time, frequency, channels). :class:`Layers` belongs to one step: it reads the weights and the past of
each layer, and gathers the pasts that follow. A past is the layer's last inputs; one that isn't there is zeros.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Layers", "State", "elu"]

State = dict[str, Any]
"""Pasts by the layers' names."""

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def elu(x: jax.Array) -> jax.Array:
    """Exponential linear unit (Clevert et al. 2016)."""
    return jax.nn.elu(x)


class Layers:
    """One step of a network.

    Parameters
    ----------
    params
        The network's tree.
    pasts
        Of the layers, by their names.
    """

    def __init__(self, params: Mapping[str, Any], pasts: Mapping[str, Any]) -> None:
        self._params, self._pasts = params, pasts
        self.following: State = {}

    def _weights(self, name: str) -> Mapping[str, jax.Array]:
        place: Any = self._params
        for part in name.split("/"):
            place = place[part]
        return place["conv"]

    def _has(self, name: str) -> bool:
        place: Any = self._params
        for part in name.split("/"):
            if part not in place:
                return False
            place = place[part]
        return True

    def _continued(self, name: str, x: jax.Array, length: int) -> jax.Array:
        """Put a layer's last inputs before its new ones, and remember the last of these."""
        if length == 0:
            return x
        past = self._pasts.get(name)
        if past is None:
            past = jnp.zeros((x.shape[0], length, *x.shape[2:]), x.dtype)
        whole = jnp.concatenate([past, x], axis=1)
        self.following[name] = whole[:, -length:]
        return whole

    def dense(self, name: str, x: jax.Array) -> jax.Array:
        """Convolve with a kernel of one by one: (..., channels)."""
        weights = self._weights(name)
        return x @ weights["kernel"][0, 0] + weights["bias"]

    def conv(self, name: str, x: jax.Array, strides: tuple[int, int] = (1, 1)) -> jax.Array:
        """Convolve, causally in time, with as many zeros as it takes at either end of frequency."""
        weights = self._weights(name)
        height, width = weights["kernel"].shape[:2]
        pad = max(width - strides[1], 0)
        padding = ((0, 0), (pad // 2, pad - pad // 2))
        x = self._continued(name, x, height - strides[0])
        return (
            lax.conv_general_dilated(x, weights["kernel"], strides, padding, dimension_numbers=_LAYOUT)
            + weights["bias"]
        )

    def transposed(self, name: str, x: jax.Array, ratio: tuple[int, int]) -> jax.Array:
        """Convolve with `ratio` - 1 zeros between the inputs, of which the newest meets the kernel's last row.

        Most products would be with the zeros. So every place between two inputs gets the part of the kernel that meets
        inputs there, and what these plain convolutions give is interleaved.
        """
        weights = self._weights(name)
        kernel = weights["kernel"]
        (height, width), (slow, fine) = kernel.shape[:2], ratio
        past = (height - 1) // slow
        whole = self._continued(name, x, past)
        left = (width + fine - 1) // 2
        rows = []
        for row in range(slow):
            top = (height - 1 - row) % slow
            first = past + (row - (height - 1) + top) // slow
            columns = []
            for column in range(fine):
                side = (left - column) % fine
                start = (column - left + side) // fine
                part = kernel[top::slow, side::fine]
                taken = whole[:, first : first + x.shape[1] + part.shape[0] - 1]
                padding = ((0, 0), (-start, start + part.shape[1] - 1))
                columns.append(lax.conv_general_dilated(taken, part, (1, 1), padding, dimension_numbers=_LAYOUT))
            rows.append(jnp.stack(columns, axis=3))
        found = jnp.stack(rows, axis=2)  # (sides, time, slow, frequency, fine, channels)
        shape = (x.shape[0], x.shape[1] * slow, x.shape[2] * fine, kernel.shape[3])
        return found.reshape(shape) + weights["bias"]

    def _widened(self, name: str, x: jax.Array) -> jax.Array:
        shortcut = f"{name}/shortcut_layer/conv1x1"
        return self.dense(shortcut, x) if self._has(shortcut) else x

    def residual(self, name: str, x: jax.Array, first: str, second: str) -> jax.Array:
        """Two convolutions, in the order of their names, beside the identity."""
        return x + self.conv(f"{name}/{second}", elu(self.conv(f"{name}/{first}", elu(x))))

    def narrower(self, name: str, x: jax.Array, ratio: tuple[int, int]) -> jax.Array:
        """Two convolutions, the second of which shortens time and frequency, beside the average."""
        slow, fine = ratio
        sides, time, bins, channels = x.shape
        mean = jnp.mean(x.reshape(sides, time // slow, slow, bins // fine, fine, channels), axis=(2, 4))
        shortening = f"{name}/conv2d_{max(3, 2 * slow)}x{max(3, 2 * fine)}_a"
        return self._widened(name, mean) + self.conv(shortening, elu(self.conv(f"{name}/conv2d_3x3", elu(x))), ratio)

    def wider(self, name: str, x: jax.Array, ratio: tuple[int, int]) -> jax.Array:
        """Two convolutions, the first of which lengthens time and frequency, beside the repeated input."""
        slow, fine = ratio
        lengthening = f"{name}/conv2dtranspose_{max(3, 2 * slow)}x{max(3, 2 * fine)}"
        repeated = jnp.repeat(jnp.repeat(self._widened(name, x), slow, axis=1), fine, axis=2)
        return repeated + self.conv(f"{name}/conv2d_3x3", elu(self.transposed(lengthening, elu(x), ratio)))
