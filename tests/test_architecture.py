"""The rules of the house that a reader can't see in one file. Each failure says why the rule is there."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "wasess"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL_SOURCES = [*SOURCES, *TESTS]

# Who may import whom. A name with a dot is one module; errors may be imported by all but the sandbox.
# Only the command line imports the drill, and only these two the sandbox: a session must never need either.
SPOKEN = {"errors", "words"}
EVERYTHING = SPOKEN | {
    *("core", "link", "store", "delivery", "supervisor", "control", "doctor", "transfer", "web", "cli", "assembly", "settings"),
}
RINGS = {
    "errors": set(),
    "words": set(),
    "settings": set(),
    "core": {"core"},
    "link": SPOKEN | {"link", "core", "store"},
    "store": SPOKEN | {"store", "core"},
    "delivery": SPOKEN | {"delivery", "core", "store", "link.port"},
    "supervisor": SPOKEN | {"supervisor", "delivery", "core", "store", "link.port"},
    "control": SPOKEN | {"control", "core", "store"},
    "doctor": SPOKEN | {"doctor", "control", "core", "store", "link.port"},
    "transfer": SPOKEN | {"transfer", "core", "store", "link.port"},
    "sandbox": {"sandbox"},
    "web": EVERYTHING,
    "assembly": EVERYTHING,
    "drill": EVERYTHING | {"drill", "sandbox"},
    "cli": EVERYTHING | {"drill", "sandbox"},
    "__main__": {"cli"},
}
LONGEST_FILE = 400
LONGEST_PORT = 60
NAMES_THAT_SAY_NOTHING = re.compile(r"util|helper|common|misc|manager_of", re.IGNORECASE)
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")) + r")\b")
SUPPRESSION_WITHOUT_REASON = re.compile(
    r"# ?(?:noqa|type: ?ignore)"
    r"(?!: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)* +(?:--?|#|:)? *\(?\w)"  # codes, then words
    r"(?!\[[a-z-]+(?:, ?[a-z-]+)*\] +(?:--?|#|:)? *\(?\w).*"
)


def ring_of(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    return set() if path == PACKAGE / "__init__.py" else imports_in(path.read_text(), path)


def imports_in(source: str, path: Path) -> set[str]:
    """Every module of ours that a file imports, wherever in the file: also for types only, also inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
                base = ".".join(filter(None, [*package[: len(package) - node.level + 1], base]))
            found |= {f"{base}.{alias.name}" for alias in node.names} if base in {"wasess", "wasess.link"} else {base}
    return {name.removeprefix("wasess.") for name in found if name.startswith("wasess.")}


def allowed(imported: str, ring: str) -> bool:
    return any(imported == door or imported.startswith(f"{door}.") for door in RINGS[ring]) or imported == "__version__"


def breaking(rule: Callable[[Path], object], paths: list[Path]) -> list[str]:
    """The files for which a rule finds something."""
    return [f"{path.relative_to(ROOT)}: {found}" for path in paths if (found := rule(path))]


def test_nobody_imports_outwards():
    found = breaking(lambda path: {name for name in imports_of(path) if not allowed(name, ring_of(path))}, SOURCES)
    assert not found, "what decides must not know what does: see RINGS for who may import whom"


def test_neonize_is_never_imported():
    found = breaking(lambda path: re.findall(r"^\s*(?:import|from) neonize\b.*", path.read_text(), re.MULTILINE), SOURCES)
    assert not found, "import neonize costs 64 MB and drags libmagic in; its library is loaded by ctypes, in the worker alone"


def test_no_file_is_longer_than_400_lines():
    found = breaking(lambda path: max(0, len(path.read_text().splitlines()) - LONGEST_FILE), ALL_SOURCES)
    assert not found, "a file this long is about two things"


def test_no_test_leaves_closing_to_the_garbage_collector():
    """It runs in any thread, in the middle of another test: SQLite refuses to close there, and that test fails for it."""
    found = breaking(lambda path: re.findall(r"^\s*weakref\.finalize\(.*", path.read_text(), re.MULTILINE), TESTS)
    assert not found, "close it where it is made: contextlib.closing, or a fixture that yields"


def test_a_file_name_says_what_is_in_it():
    assert not breaking(lambda path: NAMES_THAT_SAY_NOTHING.search(path.stem), ALL_SOURCES), "name it after a thing of the domain"


def test_nothing_is_left_for_later():
    assert not breaking(lambda path: UNFINISHED.findall(path.read_text()), ALL_SOURCES), "what is not done is an issue, not a comment"


def test_every_suppression_says_why():
    found = breaking(lambda path: SUPPRESSION_WITHOUT_REASON.findall(path.read_text()), SOURCES)
    assert not found, "a suppression carries its code and its reason on the line"


def test_every_module_says_what_it_is_for():
    assert not breaking(lambda path: not ast.get_docstring(ast.parse(path.read_text())), SOURCES)


def test_the_door_to_a_session_stays_narrow():
    source = (PACKAGE / "link" / "port.py").read_text()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    marks = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    code = {token.start[0] for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in marks}
    assert len(code - docstrings) <= LONGEST_PORT, "a second implementation must stay easy to write"


def test_the_rules_find_what_they_are_for(tmp_path):
    probe = PACKAGE / "core" / "probe.py"
    imports = imports_in("if TYPE_CHECKING:\n    from wasess.link.port import Link\ndef f():\n    from ..store import lock\n", probe)
    assert {name for name in imports if not allowed(name, "core")} == {"link.port", "store"}
    assert not allowed("link.host", "supervisor")
    assert allowed("link.port", "supervisor")
    mark = "# no" + "qa"
    assert SUPPRESSION_WITHOUT_REASON.search(f"x = 1  {mark}: S101")
    assert SUPPRESSION_WITHOUT_REASON.search(f"x = 1  {mark}")
    assert not SUPPRESSION_WITHOUT_REASON.search(f"x = 1  {mark}: S101, S102 - the reason")
