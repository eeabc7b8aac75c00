"""How JAX runs on this machine's processor: threads, and a cache of compiled steps so that the next start is quick.

:func:`configure` must run before JAX computes anything; XLA reads its flags once per process. One core is left to the
audio server.
"""

import os
from pathlib import Path

__all__ = ["cache_folder", "configure"]


def cache_folder() -> Path:
    """Return where compiled code is kept: ``$XDG_CACHE_HOME/jackdaw/xla``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jackdaw" / "xla"


def configure() -> None:
    """Set up JAX for live playing; settings of the user's own (XLA_FLAGS, JAX_PLATFORMS) win."""
    flags = os.environ.get("XLA_FLAGS", "")
    if len(os.sched_getaffinity(0)) <= 2 and "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    import jax

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
