"""What is installed is what is pinned, and starting up stays light."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def _pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): pinned for name, pinned in pairs}


def test_every_package_needed_is_pinned_and_installed_as_pinned(root: Path) -> None:
    pins = _pins(root)
    waiting = [Requirement("beatweaver[test,lint,train]")]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        for text in distribution(requirement.name).requires or []:
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            name = canonicalize_name(needed.name)
            if re.match("nvidia|cuda|triton", name):
                continue  # comes with torch's CUDA build alone, at versions that torch names
            assert name in pins, f"{needed} (for {requirement.name}) is not in constraints.txt"
            assert version(name) == pins[name]
            assert needed.specifier.contains(pins[name]), f"{needed} is not met by {pins[name]}"
            if name not in seen:
                seen.add(name)
                waiting.append(needed)
    assert set(pins) == seen, f"pinned but not needed: {set(pins) - seen}"


def test_nothing_committed_names_a_package_host(root: Path) -> None:
    for name in ("constraints.txt", "pyproject.toml", "Makefile", ".ci/run"):
        assert not re.search(r"https?://", (root / name).read_text("utf-8")), name


def _loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    loaded = _loaded_by(
        "from beatweaver.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert "click" in loaded
    assert not loaded & {"numpy", "rich", "pyarrow", "torch", "beatweaver._native", "beatweaver.doctor"}


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    loaded = _loaded_by("import beatweaver")
    assert "beatweaver" in loaded
    assert not {name for name in loaded if name.startswith("beatweaver.")}
    assert not loaded & {"numpy", "rich", "pyarrow", "torch", "click"}


def test_the_package_still_finds_its_names() -> None:
    import beatweaver

    assert beatweaver.__version__ == version("beatweaver")
    assert issubclass(beatweaver.BeatWeaverError, Exception)
    assert set(beatweaver.__all__) <= set(dir(beatweaver))
    assert not hasattr(beatweaver, "nothing_of_that_name")
