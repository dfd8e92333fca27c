# Made by `make stubs` from the Rust sources; changes belong there.
"""
The native half of BeatWeaver; people import `beatweaver`, which stands on it.
"""

from typing import SupportsIndex

__all__ = ["build_info", "thread_count"]

def build_info() -> dict[str, str]:
    """
    What this build is.

    Returns:
        `version` (of the Rust crates), `profile` (Cargo's name of it), `debug_assertions` (`on` or `off`),
        `features` (CPU features the compiler was allowed to use, comma-separated), `target` (`system-processor`).
    """

def thread_count(*, threads: SupportsIndex = 0) -> int:
    """
    How many threads a call with this `threads` works on.

    Args:
        threads: 0 for the shared pool, whose size is `BEATWEAVER_THREADS` or the number of cores.

    Returns:
        The size of the pool; 1 in a forked child once the parent has used the shared pool.

    Raises:
        ConfigError: `threads` or `BEATWEAVER_THREADS` is above 1024 or not a number.
    """
