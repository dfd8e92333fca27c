"""The plan of the house, held by the compiler's view of each module: who imports whom, who prints, what is public."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import snapshot

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "beatweaver"
MODULES = sorted(".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in PACKAGE.rglob("*.py"))

# docs/architecture.md describes the floors. A module imports only from floors below its own.
FLOORS = {
    -1: ["_native"],
    0: ["errors", "config", "files"],
    1: ["maps", "audio", "tokens"],
    2: ["model", "data", "checkpoint", "losses", "demo"],
    3: ["timing", "structure", "rhythm", "notes", "neural", "extras", "lighting", "measures", "polish", "judge"],
    4: ["process", "validation", "train", "generate", "evaluate", "chart", "sources", "doctor"],
    5: ["console", "report", "cli", "serve"],
    6: ["__init__", "__main__"],
}
FLOOR = {module: floor for floor, modules in FLOORS.items() for module in modules}
# The edges within a floor that are meant.
SAME_FLOOR = {("config", "errors"), ("report", "console"), ("cli", "console"), ("cli", "report")}
SAME_FLOOR |= {("extras", "structure"), ("extras", "timing"), ("lighting", "structure"), ("lighting", "timing")}
SAME_FLOOR |= {("structure", "timing"), ("rhythm", "structure"), ("rhythm", "timing"), ("notes", "rhythm")}
SAME_FLOOR |= {("notes", "structure"), ("notes", "timing")}
# What is heard is shaped for the model that hears it; a checkpoint says which features it needs.
SAME_FLOOR |= {("data", "model"), ("checkpoint", "model"), ("checkpoint", "data")}
SAME_FLOOR |= {
    ("measures", "structure"),
    ("losses", "model"),
    ("losses", "data"),
    ("train", "validation"),
    ("neural", "notes"),
    ("neural", "rhythm"),
    ("neural", "structure"),
}
# The ruler lays itself on what is generated, and reads the splits of the corpus.
SAME_FLOOR |= {("evaluate", "generate"), ("evaluate", "process")}
# Packages that one module alone may import.
OWNED = {"click": "cli", "rich": "console"}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            if node.module == "beatweaver":
                yield from (f"beatweaver.{name.name}" for name in node.names)
            else:
                yield node.module


def _tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text("utf-8"))


def _room(module: str) -> str:
    return module.removesuffix(".__init__").split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module: str) -> None:
    room = _room(module)
    assert room in FLOOR, f"{room} has no floor yet"
    for name in _imports(_tree(module)):
        top, _, inner = name.partition(".")
        if top in OWNED:
            assert room == OWNED[top], f"{room} imports {top}, which belongs to {OWNED[top]}"
        if top != "beatweaver":
            continue
        target = _room(inner)
        assert target in FLOOR, f"{room} imports {name}, which has no floor"
        allowed = FLOOR[target] < FLOOR[room] or target == room or (room, target) in SAME_FLOOR
        assert allowed, f"{room} (floor {FLOOR[room]}) imports {target} (floor {FLOOR[target]})"


def test_the_floor_rule_sees_a_wrong_edge() -> None:
    [name] = _imports(ast.parse("def f():\n    from beatweaver import cli"))
    assert FLOOR[_room(name.partition(".")[2])] > FLOOR["errors"]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "console"])
def test_only_the_console_prints(module: str) -> None:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}, (
                f"{module}:{node.lineno} calls {called}"
            )


@pytest.mark.parametrize("module", MODULES)
def test_modules_say_what_they_are_for(module: str) -> None:
    assert ast.get_docstring(_tree(module))


def test_public_names() -> None:
    lines = []
    for module in MODULES:
        if module == "__main__":
            continue
        name = "beatweaver" if module == "__init__" else f"beatweaver.{module.removesuffix('.__init__')}"
        loaded = import_module(name)
        for public in loaded.__all__:
            assert getattr(loaded, public) is not None
            lines.append(f"{name}.{public}\n")
    snapshot.check("api.txt", "".join(lines))


def test_dependencies(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [f"{requirement}\n" for requirement in project["dependencies"]]
    for extra, requirements in project["optional-dependencies"].items():
        lines += [f"[{extra}] {requirement}\n" for requirement in requirements]
    snapshot.check("dependencies.txt", "".join(lines))


def test_every_dependency_says_why(root: Path) -> None:
    text = (root / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    for requirement in sum(project["optional-dependencies"].values(), project["dependencies"]):
        assert f'"{requirement}", # ' in text, f"{requirement} has no comment"
