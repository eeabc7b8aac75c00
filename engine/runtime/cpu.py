"""How JAX runs on this machine's processor: on one thread, and with a cache of compiled steps for the next start.

:func:`configure` must run before JAX computes anything; XLA reads its flags once per process. A step is many small
products of a matrix and a few vectors: more threads make it no faster, and the other cores belong to the audio server.
"""

import ctypes
import hashlib
import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["cache_folder", "configure", "give_back", "settled"]

_LARGE_PAGE = 2 << 20
_ALIGNMENT = 64
_TRIM, _MMAP = -1, -3
"""mallopt(3): what lies free at the top before it is given back, and the least size that is mapped by itself."""
_KEPT, _MAPPED = 256 << 20, 32 << 20


def cache_folder() -> Path:
    """Return where compiled code is kept: ``$XDG_CACHE_HOME/jackdaw/xla-...``, a folder for each kind of processor."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    kind = "".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))
    return base / "jackdaw" / f"xla-{hashlib.sha256(kind.encode()).hexdigest()[:12]}"


def configure() -> None:
    """Set up JAX for live playing; flags of the user's own (``XLA_FLAGS``) win.

    Memory that a step frees is kept for the next one: what goes back to the system comes again page by page, and the
    megabytes of a step's new state then cost more than all its sums.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if mallopt is not None:
        mallopt(_TRIM, _KEPT)
        mallopt(_MMAP, _MAPPED)
    import jax

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def give_back() -> None:
    """Return to the system what lies free: after loading and compiling that is more than a hundred megabytes.

    Takes up to 30 ms, for which a step that runs beside this may have to wait.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)


def settled(tree: Any) -> Any:
    """Return a tree of NumPy arrays as one of JAX arrays that lie side by side in large pages.

    A step reads every weight once, and with pages of 4 KiB it waits for their addresses: 2 MiB pages take a tenth off.
    Where the system grants none, the arrays are the same.
    """
    import jax

    leaves, structure = jax.tree.flatten(tree)
    starts = np.cumsum([0, *(-(-leaf.nbytes // _ALIGNMENT) * _ALIGNMENT for leaf in leaves)])
    memory = mmap.mmap(-1, int(starts[-1]) + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    block = np.frombuffer(memory, np.uint8)
    first = -block.ctypes.data % _LARGE_PAGE
    placed = []
    for leaf, start in zip(leaves, starts, strict=False):
        place = block[first + start : first + start + leaf.nbytes].view(leaf.dtype).reshape(leaf.shape)
        place[...] = leaf
        placed.append(jax.device_put(place))  # JAX takes aligned memory as it is
    return jax.tree.unflatten(structure, placed)
