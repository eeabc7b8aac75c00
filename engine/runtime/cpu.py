"""How JAX runs on this machine's processor: on one thread, and with a cache of compiled steps for the next start.

:func:`configure` must run before JAX computes anything; XLA reads its flags once per process. A step is many small
products of a matrix and a few vectors: more threads make it no faster, and the other cores belong to the audio server.
"""

import hashlib
import os
from pathlib import Path

__all__ = ["cache_folder", "configure"]


def cache_folder() -> Path:
    """Return where compiled code is kept: ``$XDG_CACHE_HOME/jackdaw/xla-...``, a folder for each kind of processor."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    kind = "".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))
    return base / "jackdaw" / f"xla-{hashlib.sha256(kind.encode()).hexdigest()[:12]}"


def configure() -> None:
    """Set up JAX for live playing; flags of the user's own (``XLA_FLAGS``) win."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    import jax

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
