"""Makes `python/beatweaver/_native.pyi` from the extension: `stubs.py` writes it, `stubs.py --check` compares.

PyO3 (feature `experimental-inspect`) leaves descriptions in the binary, `maturin generate-stubs` reads them. Here they
are finished: annotations given as text become plain ones with their imports, and a public item without a docstring is
refused.
"""

import ast
import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "python" / "beatweaver" / "_native.pyi"
HEADER = "# Made by `make stubs` from the Rust sources; changes belong there.\n"
TOOLS = Path(sys.executable).parent


def generate() -> str:
    """The stub of the extension as it stands in the sources (builds it first where needed)."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--locked", "--profile", "ci", "--manifest-path", "rust/native/Cargo.toml", "--out", folder]
        built = subprocess.run(
            [TOOLS / "maturin", "generate-stubs", *options], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if built.returncode:
            sys.exit(built.stderr)
        raw = Path(folder, "beatweaver", "_native.pyi").read_text("utf-8")
    finished = HEADER + finish(raw)
    formatted = subprocess.run(
        [TOOLS / "ruff", "format", "--stdin-filename", STUB, "-"],
        input=finished,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return formatted.stdout


def finish(raw: str) -> str:
    """Unquote annotations and import the modules they name."""
    lines = raw.splitlines()
    modules: set[str] = set()
    quoted = [
        annotation
        for node in ast.walk(ast.parse(raw))
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    ]
    for node in sorted(quoted, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        text, line = str(node.value), lines[node.lineno - 1].encode()
        for part in ast.walk(ast.parse(text, mode="eval")):
            if isinstance(part, ast.Attribute) and not isinstance(part.value, ast.Call):
                modules.add(ast.unparse(part.value))
        lines[node.lineno - 1] = (line[: node.col_offset] + text.encode() + line[node.end_col_offset :]).decode()
    docstring = ast.parse(raw).body[0]
    after = docstring.end_lineno or 0 if isinstance(docstring, ast.Expr) else 0
    imports = [f"import {module}" for module in sorted(modules)]
    return "\n".join([*lines[:after], *imports, *lines[after:], ""])


def undocumented(stub: str) -> list[str]:
    """Names of public items without a docstring, `(module)` for the module itself."""
    tree = ast.parse(stub)
    missing = [] if ast.get_docstring(tree) else ["(module)"]

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            public = not node.name.startswith("_") or node.name == "__new__"
            if public and not ast.get_docstring(node):
                missing.append(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.")

    look(tree.body, "")
    return missing


def main() -> int:
    """Write or compare; 1 when something has to be done by a person."""
    stub = generate()
    missing = undocumented(stub)
    if missing:
        print(f"no docstring in the Rust sources for: {', '.join(missing)}", file=sys.stderr)
        return 1
    if "Incomplete" in stub:
        print("the stub is incomplete: something is exported that PyO3 cannot describe", file=sys.stderr)
        return 1
    if "--check" not in sys.argv[1:]:
        STUB.write_text(stub, "utf-8")
        return 0
    present = STUB.read_text("utf-8") if STUB.exists() else ""
    changes = difflib.unified_diff(
        present.splitlines(), stub.splitlines(), "committed", "from the sources", lineterm=""
    )
    report = "\n".join(changes)
    if report:
        print(f"{report}\n{STUB.name} is out of date: run `make stubs`", file=sys.stderr)
    return int(bool(report))


if __name__ == "__main__":
    sys.exit(main())
