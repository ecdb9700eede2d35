"""`make conformance`: which test proves which requirement; what has none is open.

Requirements and their short names are in `tests/requirements.toml`; tests name them by
`@pytest.mark.spec("DISC-01", ...)`, requests that are data (`data/*.toml` beside the tests that
send them) by their `rule`. All is read from the source, nothing is run. Writes
`docs/conformance.md` and prints the same; `--check` only says whether the file is up to date and
whether every mark names a requirement.
"""

import argparse
import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "tests" / "requirements.toml"
TARGET = ROOT / "docs" / "conformance.md"
SHOWN = 3

Proofs = Mapping[str, list[str]]
Group = tuple[str, dict[str, str]]


def main() -> int:
    """Write and print the matrix; 1 where `--check` finds it stale, or a mark names nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    is_check = parser.parse_args().check
    groups, proofs = requirements(REQUIREMENTS), proven(ROOT)
    known = {name for _, names in groups for name in names}
    if unknown := sorted(set(proofs) - known):
        sys.stderr.write(f"marks that name no requirement: {', '.join(unknown)}\n")
        return 1
    text = matrix(groups, proofs)
    if is_check:
        if TARGET.is_file() and TARGET.read_text() == text:
            return 0
        sys.stderr.write("docs/conformance.md is out of date: run make conformance\n")
        return 1
    TARGET.write_text(text)
    sys.stdout.write(text)
    return 0


def requirements(path: Path) -> list[Group]:
    """The groups of requirements, in their order: title, and name by ID."""
    found = tomllib.loads(path.read_text())
    return [
        (group["title"], {f"{prefix}{number}": name for number, name in group["ids"].items()})
        for prefix, group in found.items()
    ]


def proven(root: Path) -> dict[str, list[str]]:
    """ID to the tests and requests below `root` that name it, as `path::name`."""
    proofs: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        for identity, test in _marks(ast.parse(path.read_text())):
            name = f"{path.relative_to(root)}::{test}" if test else str(path.relative_to(root))
            if name not in proofs[identity]:
                proofs[identity].append(name)
    for path in sorted((root / "tests").rglob("data/*.toml")):
        for row in tomllib.loads(path.read_text()).get("requests", []):
            rules = [row["rule"]] if isinstance(row["rule"], str) else row["rule"]
            for identity in rules:
                proofs[identity].append(f"{path.relative_to(root)}::{row['name']}")
    return dict(proofs)


def _marks(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Every ID that a test, a class of tests or the whole module names."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            calls = [mark for one in node.decorator_list for mark in _spec_calls(one)]
            yield from ((identity, node.name) for call in calls for identity in _texts(call))
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            yield from ((one, "") for call in _spec_calls(node.value) for one in _texts(call))


def _spec_calls(node: ast.AST) -> Iterator[ast.Call]:
    """Calls of `pytest.mark.spec`, those of parametrized cases too."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "pytest.mark.spec":
            yield inner


def _texts(call: ast.Call) -> Iterator[str]:
    for inner in ast.walk(call):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def matrix(groups: list[Group], proofs: Proofs) -> str:
    """The document."""
    total = sum(len(names) for _, names in groups)
    done = sum(identity in proofs for _, names in groups for identity in names)
    lines = [
        "# Conformance",
        "",
        "Made by `make conformance` from the marks of the tests. A requirement without a test is",
        "open: not built yet, or built and not proven. A test proves the part of a requirement",
        "that its name tells; `docs/progress.md` says where that is not the whole.",
        "",
        f"{done} of {total} requirements have a test.",
    ]
    for title, names in groups:
        lines += ["", f"## {title}", "", "| ID | requirement | test |", "|---|---|---|"]
        lines += [
            f"| {one} | {name} | {_proof(proofs.get(one, []))} |" for one, name in names.items()
        ]
    return "\n".join(lines) + "\n"


def _proof(tests: list[str]) -> str:
    shown = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests[:SHOWN])
    more = f"<br>and {len(tests) - SHOWN} more" if len(tests) > SHOWN else ""
    return shown + more or "open"


if __name__ == "__main__":
    sys.exit(main())
