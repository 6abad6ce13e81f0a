"""Measures the house: files, functions, parameters, hidden imports, blanket handlers, forbidden names, cycles.

Prints every breach with its place and ends with 1 if there is one. The numbers are those of ARCHITECTURE.md.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES = 300
FUNCTION_LINES = 50
PARAMETERS = 6
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager"}
# The boundaries at which everything is caught: the envelope, and threads or tasks that must not die silently.
BROAD_HANDLERS = {"gateway/access.py", "gateway/edges/google_token.py"}

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Check the package; the exit code."""
    paths = sorted((ROOT / "gateway").rglob("*.py"))
    breaches = [breach for path in paths for breach in breaches_of(path)]
    for breach in breaches:
        print(breach)
    print(f"house numbers: {len(paths)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


def breaches_of(path: Path) -> Iterator[str]:
    """All breaches in one file."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text()
    if (lines := text.count("\n")) > MODULE_LINES:
        yield f"{name}: {lines} lines, at most {MODULE_LINES}"
    if path.stem in FORBIDDEN_NAMES:
        yield f"{name}: a name that says nothing"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _breaches_of_function(name, node)
        elif isinstance(node, ast.ExceptHandler) and _is_broad(node) and name not in BROAD_HANDLERS:
            yield f"{name}:{node.lineno}: catches everything, outside the named boundaries"


def _breaches_of_function(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    place = f"{name}:{node.lineno}: {node.name}"
    if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES:
        yield f"{place} has {lines} lines, at most {FUNCTION_LINES}"
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if len([name for name in names if name not in ("self", "cls")]) > PARAMETERS:
        yield f"{place} has {len(names)} parameters, at most {PARAMETERS}"
    if any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in ast.walk(node)):
        yield f"{place} hides an import"


def _is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything and may keep it; cleaning up and raising again swallows nothing."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(node is None or getattr(node, "id", None) in ("Exception", "BaseException") for node in caught)


if __name__ == "__main__":
    sys.exit(main())
