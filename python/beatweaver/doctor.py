"""What a bug report needs to know about this machine and this build."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

__all__ = ["Report", "examine"]


class Report(TypedDict):
    """The document of `beatweaver doctor --json`; sizes in bytes, None where not known."""

    version: str
    python: str
    native: dict[str, str | int]
    torch: str | None
    device: str
    weights: dict[str, str]
    cpu: dict[str, str | int | None]
    memory: dict[str, int | None]
    disk_free: int
    packages: dict[str, str]
    problems: list[str]


def examine() -> Report:
    """Look at this machine and this build.

    `problems` holds one sentence per thing that will get in the way; it is empty on a sound installation.
    """
    problems: list[str] = []
    return {
        "version": version("beatweaver"),
        "python": f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}",
        "native": _native(problems),
        "torch": _version("torch"),
        "device": "cpu",
        "weights": _weights(problems),
        "cpu": {"name": _cpu_name(), "cores": os.cpu_count()},
        "memory": {"total": _memory("SC_PHYS_PAGES"), "available": _memory("SC_AVPHYS_PAGES")},
        "disk_free": shutil.disk_usage(Path.cwd()).free,
        "packages": {name: found for name in ("numpy", "pyarrow", "click", "rich") if (found := _version(name))},
        "problems": problems,
    }


def _weights(problems: list[str]) -> dict[str, str]:
    """First digits of the SHA-256 of each file of weights in the package, by its path there."""
    home = Path(__file__).parent / "weights"
    names = ("default/model.safetensors", "classic/patterns.safetensors", "classic/rhythm.json")
    found = {}
    for name in names:
        try:
            found[name] = hashlib.sha256((home / name).read_bytes()).hexdigest()[:16]
        except OSError as error:
            problems.append(f"weights/{name} cannot be read ({error.strerror}); install beatweaver anew")
    return found


def _native(problems: list[str]) -> dict[str, str | int]:
    try:
        from beatweaver import _native
    except ImportError as error:
        problems.append(f"the native half cannot be loaded, so no map can be read: {error}")
        return {"error": str(error)}
    info: dict[str, str | int] = dict(_native.build_info())
    if info["debug_assertions"] == "on":
        problems.append("the native half is a debug build: everything takes many times longer than it should")
    info["threads"] = _native.thread_count()
    return info


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or None


def _memory(pages: str) -> int | None:
    try:
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS not these names
        return None
