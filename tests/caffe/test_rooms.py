"""The engine's rooms: which may import which, no circles at import time, and a core that needs none of them."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ENGINE = Path(__file__).resolve().parents[2] / "python" / "caffe" / "_caffe"
CORE = "core"
MAY_IMPORT = {  # besides itself and the core
    CORE: set(), "files": set(), "kernels": set(), "data": {"files"}, "layers": {"files", "kernels", "data"},
    "plan": {"kernels"}, "net": {"files", "layers", "plan"}, "solvers": {"files", "net"}, "convert": {"files", "net"}}
MODULES = {".".join(path.relative_to(ENGINE).with_suffix("").parts).removesuffix(".__init__"): path
           for path in ENGINE.rglob("*.py")}


def room(module: str) -> str:
    head = module.split(".")[0]
    return head if head in MAY_IMPORT else CORE


def imports(module: str, at_import_time: bool) -> set[str]:
    """The engine's modules that a module imports; those for type checkers alone, and inside functions, are left out."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    package = [] if package == ["__init__"] else package
    found = set()
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), at_import_time):
        if isinstance(node, ast.ImportFrom) and node.level and node.level <= len(package) + 1:
            base = [*package[:len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
            names = [".".join([*base, alias.name]) for alias in node.names]
            found.update(name if name in MODULES else ".".join(base) for name in names)
    return {name for name in found if name in MODULES and name != module}


def _nodes(node: ast.AST, at_import_time: bool):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if at_import_time and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield child
        yield from _nodes(child, at_import_time)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_imports_those_below_it(module):
    own = room(module)
    reached = {room(name) for name in imports(module, at_import_time=True)} - {own, CORE}
    assert reached <= MAY_IMPORT[own], f"{module} imports {sorted(reached - MAY_IMPORT[own])}"


def test_there_are_no_circles_at_import_time():
    below = {module: imports(module, at_import_time=True) for module in MODULES}
    assert below["net.net"] >= {"plan.plan", "net.build", "blob"}
    graphlib.TopologicalSorter(below).prepare()  # raises CycleError, which names them


def test_the_core_needs_no_room():
    core = [module for module in MODULES if room(module) == CORE and module not in ("", "__init__")]
    assert {"blob", "layer", "common", "filler"} <= set(core)
    inner = {module: {room(name) for name in imports(module, at_import_time=False)} - {CORE} for module in core}
    assert inner.pop("layer_factory") == {"layers"}  # loads the built-in layers when a net is first built
    assert not any(inner.values()), {module: rooms for module, rooms in inner.items() if rooms}
