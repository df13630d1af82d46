"""Breaks the state machine on purpose, in every small way there is, and counts how often the tests notice.

`python tools/mutate.py [--only FILE] [--sample N --seed S] [--jobs N]`. Each mutant (a comparison turned round, a constant moved, a condition negated,
a state, reason or timer exchanged, a statement, a command or an argument left out) replaces the module's code in a forked process that
then runs the tests in tests/core. docs/machine.md, a plain copy of the machine's behaviour, is left out: it would notice everything.
Prints the survivors as diffs. Exit code 1 when fewer than 95 % are killed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import pytest
from _pytest.unittest import TestCaseFunction
from hypothesis import Phase, settings

from wasess.core import machine, moves

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = tuple[str, Callable[[], object]]

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("machine", "moves")
CORE = ROOT / "wasess" / "core"
TESTS = ROOT / "tests" / "core"
SOURCES = {module: (CORE / f"{module}.py").read_text() for module in MODULES}
ORDER = [f"test_machine{part}" for part in ("_matrix", "", "_network", "_suspicion", "_words", "_worker", "_ground", "_outages", "_walks")]
CPU_SECONDS = 60
MEMORY = 4 * 2**30
WANTED = 0.95

COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult}
NEXT_NAMES = {  # what a state, a worker, a timer or a function is taken for
    "State": ["NEW", "CONNECTING", "ONLINE", "RECOVERING", "WAITING", "PAUSED", "OUTDATED", "LOGGED_OUT", "STOPPED"],
    "Worker": ["ABSENT", "QUEUED", "RUNNING", "ENDING"],
    "Timer": ["CONNECT", "GRACE", "STEADY", "QUIET", "RETRY"],
    "reasons": ["NETWORK_DOWN", "ZOMBIE", "REFUSED", "WORKER_LOST", "ONLINE", "STOPPED"],
    "backoff": ["delay", "slow_delay"],
}
COMMANDS = {"StopWorker", "KillWorker"}


@dataclass(frozen=True)
class Mutant:
    """``source`` is the whole module."""

    module: str
    line: int
    what: str
    source: str


# --- making them ---------------------------------------------------------------------------------------------------


def mutants_of(module: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = bare(module)
    places = [node for node in ast.walk(tree) if not _for_types_only(node)]
    found = {}
    for index, node in enumerate(places):
        for number, (what, _) in enumerate(_changes(node)):
            changed = bare(module)
            twin = [other for other in ast.walk(changed) if not _for_types_only(other)][index]
            _, apply = _changes(twin)[number]
            apply()
            source = ast.unparse(ast.fix_missing_locations(changed))
            found.setdefault(source, Mutant(module, getattr(node, "lineno", 0), what, source))
    found.pop(ast.unparse(tree), None)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def bare(module: str) -> ast.Module:
    """The module without what does nothing: docstrings, annotations, and imports for these."""
    tree = ast.parse(SOURCES[module])
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef)) and ast.get_docstring(node) and len(node.body) > 1:
            del node.body[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Name("object", ast.Load())
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                argument.annotation = None
    tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name))]
    return tree


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, (ast.ImportFrom, ast.Import, ast.alias, ast.arguments, ast.arg))


def _changes(node: ast.AST) -> list[Change]:  # noqa: C901, PLR0911 - a table, one line for each kind of node
    """What can be done to a node: a name, and a function that does it in place."""
    match node:
        case ast.Compare(ops=[operator]):
            return [(f"compare with {kind.__name__}", _setter(node, "ops", [kind()])) for kind in COMPARISONS[type(operator)]]
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            return [("and/or", _setter(node, "op", other)), *_shortened(node, "values", least=2)]
        case ast.If() | ast.IfExp():
            return [("negate", _setter(node, "test", ast.UnaryOp(ast.Not(), node.test)))]
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            return [("operator", _setter(node, "op", OPERATORS[type(operator)]()))]
        case ast.Constant(value=bool(value)):
            return [("constant", _setter(node, "value", not value))]
        case ast.Constant(value=int() | float() as value):
            return [("constant", _setter(node, "value", value + 1)), ("constant", _setter(node, "value", value * 2 or -1))]
        case ast.Attribute(value=ast.Name(id=family), attr=name) if family in NEXT_NAMES and not isinstance(node.ctx, ast.Store):
            others = [other for other in NEXT_NAMES[family] if other != name]
            return [(f"{family}.{other}", _setter(node, "attr", other)) for other in (others if family == "backoff" else others[:2])]
        case ast.Call():
            return _changed_call(node)
        case ast.List() if len(node.elts) > 0:
            return _shortened(node, "elts", least=1)
        case ast.Set() | ast.Dict() if not isinstance(node, ast.Dict):
            return _shortened(node, "elts", least=2)
        case ast.Dict():
            return [
                ("drop an entry", lambda index=index: (node.keys.pop(index), node.values.pop(index))) for index in range(len(node.keys))
            ]
        case ast.FunctionDef():
            return _without_statements(node)
    return []


def _changed_call(node: ast.Call) -> list[Change]:
    found = [(f"drop {word.arg}", lambda index=index: node.keywords.pop(index)) for index, word in enumerate(node.keywords)]
    if isinstance(node.func, ast.Name) and node.func.id in COMMANDS:
        (other,) = COMMANDS - {node.func.id}
        found.append((other, _setter(node.func, "id", other)))
    if isinstance(node.func, ast.Name) and node.func.id in {"min", "max"}:
        found.append(("min/max", _setter(node.func, "id", "max" if node.func.id == "min" else "min")))
    return found


def _shortened(node: ast.AST, field: str, least: int) -> list[Change]:
    items = getattr(node, field)
    if len(items) < least:
        return []
    return [(f"drop one of {field}", lambda index=index: items.pop(index)) for index in range(len(items))]


def _without_statements(node: ast.FunctionDef) -> list[Change]:
    """A statement that does something is left out; a guard with it."""
    found = []
    for block in [part for part in ast.walk(node) if hasattr(part, "body") and isinstance(part.body, list)]:
        for index, statement in enumerate(block.body):
            if isinstance(statement, (ast.Expr, ast.AugAssign, ast.If)) and not isinstance(block, ast.Module):
                found.append(("drop a statement", lambda block=block, index=index: block.body.__setitem__(index, ast.Pass())))
            elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call) and statement.value.args:
                first = statement.value.args[0]
                if isinstance(first, ast.Name) and ast.unparse(statement.value.func) == "replace":
                    found.append(("undo a change", _setter(statement, "value", first)))
    return found


def _setter(node: ast.AST, field: str, value: object) -> Callable[[], None]:
    return lambda: setattr(node, field, value)


# --- trying them -----------------------------------------------------------------------------------------------------


class Trial:
    """A pytest plugin: when the tests are collected, a process is forked for every mutant and runs them until one fails."""

    def __init__(self, mutants: list[Mutant], jobs: int) -> None:
        self.survivors: list[Mutant] = []
        self.sound = False
        self._mutants = mutants
        self._jobs = jobs

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own."""
        _, status = os.waitpid(_fork(session, None), 0)
        self.sound = status == 0
        running: dict[int, Mutant] = {}
        waiting = list(reversed(self._mutants)) if self.sound else []
        while waiting or running:
            while waiting and len(running) < self._jobs:
                mutant = waiting.pop()
                running[_fork(session, mutant)] = mutant
            child, status = os.waitpid(-1, 0)
            mutant = running.pop(child)
            if status == 0:
                self.survivors.append(mutant)
                print(f"--- survived: {mutant.module}.py:{mutant.line}: {mutant.what}\n{diff(mutant)}\n", flush=True)
            done = len(self._mutants) - len(waiting) - len(running)
            print(f"\r{done - len(self.survivors)} of {done} killed", end="", file=sys.stderr, flush=True)
        return True


def _fork(session: pytest.Session, mutant: Mutant | None) -> int:
    child = os.fork()
    if child == 0:
        try:
            _run(session, mutant)
        finally:
            os._exit(1)
    return child


def _run(session: pytest.Session, mutant: Mutant | None) -> None:
    """Leave with 0 when all tests pass; one that runs in circles, or eats memory, is ended by the kernel."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    if mutant:
        _install(mutant)
    for item in session.items:
        if isinstance(item, TestCaseFunction):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        elif isinstance(item, pytest.Function):  # ten times faster than by the protocol; none of them needs a fixture
            item.obj(**(item.callspec.params if hasattr(item, "callspec") else {}))
        if session.testsfailed:
            return
    os._exit(0)


def _install(mutant: Mutant) -> None:
    """Give the module its new code, and every function that others hold already the new insides."""
    target = {"machine": machine, "moves": moves}[mutant.module]
    before = {
        name: value for name, value in vars(target).items() if isinstance(value, FunctionType) and value.__module__ == target.__name__
    }
    exec(compile(mutant.source, target.__file__ or "", "exec"), vars(target))  # noqa: S102 - that is what it is for
    for name, held in before.items():
        new = vars(target)[name]
        held.__code__, held.__defaults__, held.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
        setattr(target, name, held)
    machine.DISK_RETRY = moves.DISK_RETRY  # type: ignore[attr-defined] - taken over by value


def diff(mutant: Mutant) -> str:
    """What was changed, in the words of the unparsed source."""
    lines = difflib.unified_diff(ast.unparse(bare(mutant.module)).splitlines(), mutant.source.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[2:])


# --- the command -------------------------------------------------------------------------------------------------------


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", choices=MODULES, help="mutate this module only")
    parser.add_argument("--sample", type=int, default=0, help="try so many, drawn with --seed (0: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once (the number of CPUs)")
    chosen = parser.parse_args()
    mutants = [mutant for module in MODULES if chosen.only in {None, module} for mutant in mutants_of(module)]
    if chosen.sample:
        mutants = random.Random(chosen.seed).sample(mutants, min(chosen.sample, len(mutants)))  # noqa: S311 - a draw that can be repeated
    trial = Trial(mutants, chosen.jobs)
    settings.register_profile("mutants", database=None, derandomize=True, phases=[Phase.generate])
    settings.load_profile("mutants")
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "-o", "timeout=0", "--assert=plain"]
    pytest.main([*options, *(str(TESTS / f"{name}.py") for name in ORDER)], plugins=[trial])
    if not trial.sound:
        sys.exit("The tests fail without any mutation.")
    killed = len(mutants) - len(trial.survivors)
    print(f"killed {killed} of {len(mutants)} ({killed / len(mutants):.1%})")
    return 0 if killed >= WANTED * len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
