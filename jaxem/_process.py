"""What the command asks of its process, and a library must not: programs on disk, all cores, the clock of compiling, Ctrl-C, a quick end.

Imports the standard library only; JAX where it is needed.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


DAY = 86_400.0
MOST_DAYS = 60  # since a program on disk was last used
MOST_BYTES = 200_000_000  # of all of them: one shape of data takes 350 kB
PROGRAMS = ("-cache", "-atime", ".jaxexport")  # JAX's, and ours


def _cache_folder() -> Path:
    """Where this platform keeps what can be made again."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "jaxem"


def keep_compiled(wanted: bool) -> None:
    """Have programs kept on disk, compiled and traced, unless that is unwanted or impossible, or the user has said where."""
    import jax

    config: Any = jax.config
    if not wanted or os.environ.get("JAXEM_CACHE", "").lower() == "off" or config.jax_compilation_cache_dir:
        return
    try:
        folder = _cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):  # read-only, or no home
        return
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    from . import _traced

    _traced.keep_in(folder)
    _prune(folder)


def _prune(folder: Path) -> None:
    """Once a day, delete programs that were not used for long and, where there are too many, those not used for the longest.

    JAX's own limit takes a lock at every look-up, and the package filelock. Another command may be at it too, or want what goes:
    whatever cannot be deleted stays, and whatever is gone is compiled again.
    """
    now, mark = time.time(), folder / "pruned"
    with contextlib.suppress(OSError):
        if mark.exists() and 0 <= now - mark.stat().st_mtime < DAY:
            return
        mark.touch()
        with os.scandir(folder) as entries:
            found = [(entry.stat(), entry.path) for entry in entries if entry.name.endswith(PROGRAMS)]
        size = 0
        for used, file, path in sorted(((max(s.st_atime, s.st_mtime), s.st_size, path) for s, path in found), reverse=True):
            size += file
            if size > MOST_BYTES or now - used > MOST_DAYS * DAY:
                with contextlib.suppress(OSError):
                    Path(path).unlink()


def use_all_cores() -> None:
    """Have JAX, where it is still to come, take every core for a device of its own, unless the user has said how many there are."""
    if "jax" not in sys.modules and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(cores or 1))


def compiling() -> Callable[[], float]:
    """A clock of tracing, lowering and compiling, in seconds from now on; what is done at the same time counts once."""
    import jax

    spans: list[tuple[float, float]] = []

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            spans.append((now - duration_secs, now))

    def spent() -> float:
        total, latest = 0.0, float("-inf")
        for begun, ended in sorted(spans):
            total += max(0.0, ended - max(begun, latest))
            latest = max(latest, ended)
        return total

    jax.monitoring.register_event_duration_secs_listener(listen)
    return spent


def collect_rarely() -> None:
    """Look for cyclic garbage less often: next to all that imports and tracing make lives as long as the process (0.1 s of the command)."""
    gc.set_threshold(200_000, 50, 100)


def redeliver_lost_interrupts() -> None:
    """Give a Ctrl-C another chance where Python would print and forget it.

    That happens where it falls into a callback, such as JAX's on garbage collection, and that is the first Python to run after
    a long stay in compiled code.
    """

    def hook(lost: Any) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(0.1, _thread.interrupt_main).start()
        else:
            sys.__unraisablehook__(lost)

    sys.unraisablehook = hook


def leave(status: int) -> NoReturn:
    """End the process at once.

    Taking Python and JAX apart first takes 0.15 s; and after Ctrl-C XLA may still work in threads of its own, and crashes if the
    interpreter goes first.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
