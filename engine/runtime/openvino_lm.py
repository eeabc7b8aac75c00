"""The language model of Magenta RealTime 2 by OpenVINO, frame by frame, with streams as values.

A past is a chain of rows, one a frame, which nobody writes into again. The model keeps the rings that its graphs read,
and remembers which row lies in which slot: going on with the stream that it played last costs one row, and another
stream, or an earlier state of the same, costs those that differ.

Frames whose codes are known wait, and are taken in together with the frame that is chosen next, up to AT_ONCE in a
pass: a pass reads the weights once, however many frames it takes in.

A model belongs to one thread. Invariants: equal arguments give equal results, bit for bit; a past is never changed.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from jackdaw.engine.models.mrt2_config import CHANNELS, RESERVED, MRT2Config
from jackdaw.engine.models.mrt2_depthformer import NOTHING, SPARE
from jackdaw.engine.runtime.openvino_depth import depth_graph
from jackdaw.engine.runtime.openvino_graph import Floats, Precision, request
from jackdaw.engine.runtime.openvino_temporal import RING_PARTS, sinks, temporal_graph

__all__ = ["AT_ONCE", "LanguageModel", "Past"]

AT_ONCE = SPARE + 1
"""Frames that a pass takes in at most."""

Codes = NDArray[np.int32]

Past = dict[str, Any]
"""``frame``, int32: frames taken in; ``rows``: those of the window and SPARE more, oldest first, float32 (layers,
RING_PARTS, heads, size), zeros for frames that there weren't; and of frames that wait ``waiting``, int32, how many,
``codes`` (AT_ONCE - 1, levels), of the frames before them, and ``told`` (AT_ONCE - 1, channels)."""

_HIDDEN = np.float32(-1e9)


class _Pass:
    """The temporal graph for a number of frames, with its inputs and outputs."""

    def __init__(self, model: ov.Model, rings: Floats, threads: int) -> None:
        self._request = request(model, threads)
        for index in range(rings.shape[0] * RING_PARTS):
            ring = rings[divmod(index, RING_PARTS)]
            self._request.set_tensor(f"ring_{index}", ov.Tensor(ring, shared_memory=True))
        self.ids, self.condition, self.mask, self.rows = (
            self._request.get_tensor(name).data for name in ("ids", "condition", "mask", "rows")
        )
        self.frames = len(self.ids)
        self.outlook = self._request.get_tensor("outlook")

    def run(self) -> list[Floats]:
        """Run; return the row of each frame."""
        self._request.infer()
        rows = [np.array(self.rows[:, :, :, index]) for index in range(self.frames)]
        for row in rows:
            row.flags.writeable = False
        return rows


class LanguageModel:
    """Takes in frames and chooses codes.

    Parameters
    ----------
    params
        The official tree below ``params/``.
    config
        Its sizes.
    weights
        How matrices are kept.
    threads
        1 or more.
    """

    def __init__(self, params: Mapping[str, Any], config: MRT2Config, *, weights: Precision, threads: int = 1) -> None:
        self.config = config
        sink = sinks(params, config)
        self._rings = np.zeros((*sink.shape[:3], config.window + 1, sink.shape[3]), np.float32)
        self._rings[:, :, :, 0] = sink
        self._held: list[Floats | None] = [None] * config.window

        def taking_in(frames: int) -> _Pass:
            return _Pass(temporal_graph(params, config, weights, frames), self._rings, threads)

        with ThreadPoolExecutor() as pool:  # a graph is made on one processor
            passes = [pool.submit(taking_in, frames) for frames in (1, AT_ONCE)]
            self._depth = request(depth_graph(params, config, weights), threads)
            self._passes = [made.result() for made in passes]
        names = "noise", "temperature", "last", "forced", "codes", "logits"
        self._choice = {name: self._depth.get_tensor(name).data for name in names}
        self._first = (RESERVED + np.arange(config.levels) * config.codebook).astype(np.int32)
        self._nothing = np.zeros(sink.shape, np.float32)

    def past(self) -> Past:
        """Return the past of a stream that has taken in nothing."""
        config, waiting = self.config, AT_ONCE - 1
        return {
            "frame": np.int32(0),
            "rows": (self._nothing,) * (config.window + SPARE),
            "waiting": np.int32(0),
            "codes": np.full((waiting, config.levels), NOTHING, np.int32),
            "told": np.zeros((waiting, config.style_levels + CHANNELS), np.int32),
        }

    def rewound(self, past: Past, frames: int) -> Past:
        """Return the past before the last `frames`, of which there must be as many: up to SPARE since the last pass."""
        dropped = min(frames, int(past["waiting"]))
        past = {**past, "waiting": np.int32(past["waiting"] - dropped)}
        rest = frames - dropped
        rows = (self._nothing,) * rest + past["rows"][: len(past["rows"]) - rest]
        return {**past, "frame": np.int32(past["frame"] - rest), "rows": rows}

    def take_in(self, past: Past, codes: Codes, row: Codes) -> Past:
        """Return the past after one frame more.

        Parameters
        ----------
        past
            From :meth:`past` or an earlier call.
        codes
            Int32 (levels,): the frame before, NOTHING before the first.
        row
            Int32 (style_levels + CHANNELS,), of :func:`~jackdaw.engine.models.mrt2_conditioning.channels`.
        """
        self._check("row", row, (self.config.style_levels + CHANNELS,))
        count = int(past["waiting"])
        if count == AT_ONCE - 1:
            return self._passed(past, codes, row)[0]
        past = {**past, "codes": past["codes"].copy(), "told": past["told"].copy(), "waiting": np.int32(count + 1)}
        past["codes"][count], past["told"][count] = codes, row
        return past

    def choose(
        self,
        past: Past,
        codes: Codes,
        row: Codes,
        noise: Floats,
        temperature: float,
        top_k: int,
        *,
        forced: Codes | None = None,
    ) -> tuple[Past, Codes]:
        """Take in a frame, and choose its codes.

        Parameters
        ----------
        past, codes, row
            Of :meth:`take_in`.
        noise
            Float32 (levels, codebook), Gumbel's.
        temperature
            0 (greedy) or more.
        top_k
            1 .. codebook.
        forced
            Int32 (levels,): codes to take instead of choosing; -1 chooses.

        Returns
        -------
        past, codes
            The next past, and int32 (levels,). :meth:`logits` tells what they were chosen from.

        Raises
        ------
        ValueError
            If top_k is out of range, or noise or row are of a wrong shape.
        """
        config, choice = self.config, self._choice
        if not 1 <= top_k <= config.codebook:
            raise ValueError(f"top_k {top_k} is out of range: choose 1 to {config.codebook}")
        self._check("noise", noise, (config.levels, config.codebook))
        self._check("row", row, (config.style_levels + CHANNELS,))
        past, outlook = self._passed(past, codes, row)
        self._depth.set_tensor("outlook", outlook)
        choice["noise"][:] = noise
        choice["temperature"][:] = temperature
        choice["last"][:] = top_k - 1
        choice["forced"][:] = -1 if forced is None else forced
        self._depth.infer()
        return past, np.array(choice["codes"])

    def logits(self) -> Floats:
        """Return what was chosen from last: float32 (levels, codebook)."""
        return np.array(self._choice["logits"])

    @staticmethod
    def _check(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}: give {shape}")

    def _passed(self, past: Past, codes: Codes, row: Codes) -> tuple[Past, ov.Tensor]:
        """Take in the frames that wait, and one more; return the past and the last one's outlook."""
        count = int(past["waiting"])
        run = self._passes[count > 0]
        self._place(past)
        idle = run.frames - count - 1
        self._hide(run.mask[0], int(past["frame"]), idle)
        known = np.concatenate([past["codes"][:count], codes[None]])
        run.ids[idle:] = np.where(known == NOTHING, 0, self._first + known)
        run.condition[idle:] = np.concatenate([past["told"][:count], row[None]])
        rows = (*past["rows"], *run.run()[idle:])
        frame = np.int32(past["frame"] + count + 1)
        return {**past, "frame": frame, "rows": rows[count + 1 :], "waiting": np.int32(0)}, run.outlook

    def _place(self, past: Past) -> None:
        """Bring the window's rows into the rings."""
        window, now = self.config.window, int(past["frame"])
        for age, row in enumerate(reversed(past["rows"][-min(now, window) :] if now else ()), 1):
            slot = (now - age) % window
            if self._held[slot] is not row:
                self._rings[:, :, :, slot + 1] = row
                self._held[slot] = row

    def _hide(self, mask: Floats, now: int, idle: int) -> None:
        """Write what each frame of a pass sees: the sinks, its window, itself; the first `idle` frames are none."""
        window = self.config.window
        present = window + 1 + idle
        mask[:] = _HIDDEN
        mask[:, 0] = 0
        for index in range(len(mask) - idle):
            seen = np.arange(max(0, now + index - window), now)
            mask[idle + index, 1 + seen % window] = 0
            mask[idle + index, present : present + index + 1] = 0
