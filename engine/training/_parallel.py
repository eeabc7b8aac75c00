"""Several devices, and several processes, that train one model: the same parameters everywhere, a part of each batch.

Processes find each other through JACKDAW_TRAIN_* variables, which :func:`environment` makes for the command line;
without them there is one process. Every process must call the same functions in the same order.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

__all__ = ["RANK", "Workers", "environment", "leave"]

_COORDINATOR, _COUNT, RANK = "JACKDAW_TRAIN_COORDINATOR", "JACKDAW_TRAIN_PROCESSES", "JACKDAW_TRAIN_RANK"
Tree = Any


def environment(count: int) -> list[dict[str, str]]:
    """Return, for each of `count` processes on this machine, the variables that let it find the others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [{_COORDINATOR: address, _COUNT: str(count), RANK: str(rank)} for rank in range(count)]


def leave() -> None:
    """Wait for the other processes to be done; without it each would wait for another's end."""
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()


class Workers:
    """This process among those that train; to be made before anything else is computed.

    Parameters
    ----------
    variables
        Of the process, usually ``os.environ``.

    Attributes
    ----------
    rank, count : int
        Which process this is, and of how many. Process 0 writes files and reports.
    """

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self.count, self.rank = int(variables.get(_COUNT, "1")), int(variables.get(RANK, "0"))
        if self.count > 1 and not jax.distributed.is_initialized():
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            jax.distributed.initialize(variables[_COORDINATOR], self.count, self.rank)
        mesh = Mesh(np.array(jax.devices()), ("batch",))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._divided = NamedSharding(mesh, PartitionSpec("batch"))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def rows(self, batch: int) -> int:
        """Return how many rows of a batch this process makes.

        Raises
        ------
        ValueError
            If the devices cannot share the batch evenly.
        """
        devices = len(jax.devices())
        if batch % devices:
            raise ValueError(f"a batch of {batch} cannot be shared by {devices} devices: make it a multiple of that")
        return batch // self.count

    def shared(self, tree: Tree) -> Tree:
        """Put arrays that are the same in every process on all devices."""
        return jax.tree.map(
            lambda leaf: jax.make_array_from_process_local_data(self._everywhere, np.asarray(leaf)), tree
        )

    def divided(self, tree: Tree) -> Tree:
        """Join the rows that each process made into whole batches, spread over the devices."""
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(self._divided, np.asarray(leaf)), tree)

    def own(self, tree: Tree) -> Tree:
        """Return this process' copy of shared arrays."""
        return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)

    def spread(self, tree: Tree) -> Tree:
        """Put process 0's arrays on all devices; the others give a tree of the same shapes."""
        return self.shared(tree if self.count == 1 else multihost_utils.broadcast_one_to_all(tree))

    def agreed(self, values: list[float]) -> list[float]:
        """Return what process 0 gave, in every process."""
        if self.count == 1:
            return values
        return [float(x) for x in multihost_utils.broadcast_one_to_all(np.array(values, np.float64))]
