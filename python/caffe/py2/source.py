"""Turn the text of a Python 2 module into code for Python 3, with the line numbers of that text.

In:   bytes of a source file. Out: a code object; SyntaxError if neither Python can read it.
Not here: names that Python 3 lacks (names.py), finding modules (loader.py).
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterable
from types import CodeType
from typing import Any

FIXERS = ("apply", "dict", "except", "exec", "funcattrs", "has_key", "metaclass", "methodattrs", "ne", "next",
          "nonzero", "numliterals", "paren", "print", "raise", "repr", "sys_exc", "throw", "tuple_params", "unicode",
          "xreadlines")
DIVISOR, SOURCE, FILE = "__py2_divisor__", "__py2_source__", "__py2_file__"  # among the builtins, names.py
ONLY_PYTHON_3 = (ast.JoinedStr, ast.AnnAssign, ast.Nonlocal, ast.AsyncFunctionDef, ast.NamedExpr, ast.YieldFrom,
                 ast.MatMult)

_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})")


def to_code(data: bytes, path: str, in_package: bool = False) -> CodeType:
    """Return the code of a module.

    Args:
        data: the file's bytes; Python's coding line counts.
        path: its name, for tracebacks.
        in_package: its plain imports may mean modules beside it.

    Raises:
        SyntaxError: neither Python 2 nor Python 3 can read it; with the line of the file.
    """
    text = _decoded(data, path)
    try:
        later = ast.parse(text, path)
    except (SyntaxError, ValueError):
        later = None
    if later is None or not any(_is_only_python_3(node) for node in ast.walk(later)):
        try:
            later = _from_python_2(text, path, in_package)
        except SyntaxError:
            if later is None:
                raise
    return compile(later, path, "exec", dont_inherit=True)


def _decoded(data: bytes, path: str) -> str:
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        text = io.TextIOWrapper(io.BytesIO(data), encoding, newline=None).read()
    except (UnicodeDecodeError, SyntaxError) as error:
        raise SyntaxError(f"cannot decode the file ({error}); want a coding line", (path, 1, None, None)) from None
    return text if text.endswith("\n") else text + "\n"


def _is_only_python_3(node: ast.AST) -> bool:
    """Whether Python 2 refuses it: then the file is Python 3's and is read as such."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__" and any(alias.name == "annotations" for alias in node.names)
    if isinstance(node, ast.arguments):
        arguments = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        return bool(node.kwonlyargs or node.posonlyargs) or any(one.annotation for one in arguments)
    if isinstance(node, ast.FunctionDef) and node.returns or isinstance(node, ast.Raise) and node.cause:
        return True
    return isinstance(node, ONLY_PYTHON_3)


def _from_python_2(text: str, path: str, in_package: bool) -> ast.Module:
    new, lines = _fixed(text, path, in_package)
    try:
        tree = ast.parse(new, path)
    except TabError:  # Python 2 expands a tab to up to eight blanks
        return _from_python_2(re.sub(r"^[ \t]+", lambda blank: blank[0].expandtabs(8), text, flags=re.M), path,
                              in_package)
    except SyntaxError as error:
        _refuse(text, path, lines.get(error.lineno or 1, 1), error.msg)
    floors = not any(isinstance(node, ast.ImportFrom) and node.module == "__future__"
                     and any(alias.name == "division" for alias in node.names) for node in tree.body)
    return _Meaning(lines, floors).visit(tree)


@functools.cache
def _tool(names: Iterable[str]) -> Any:
    try:
        from fissix.refactor import RefactoringTool
    except ImportError:
        raise ImportError("scripts of Python 2 need the package fissix: pip install fissix") from None
    from fissix.pgen2.token import STRING

    class Tool(RefactoringTool):
        """First replaces Unicode escapes in ur'': Python 2 reads them there, Python 3's r'' does not."""

        def refactor_tree(self, tree: Any, name: str) -> Any:
            for leaf in tree.leaves():
                if leaf.type == STRING and leaf.value[:2].lower() == "ur":
                    leaf.value = _ESCAPE.sub(lambda found: found[1] + chr(int(found[2][1:], 16)), leaf.value)
            return super().refactor_tree(tree, name)

    return Tool([f"fissix.fixes.fix_{name}" for name in names])


def _fixed(text: str, path: str, in_package: bool) -> tuple[str, dict[int, int]]:
    """Return the text in Python 3's syntax, and for each of its lines the line it comes from."""
    tool = _tool((*FIXERS, "import") if in_package else FIXERS)
    from fissix.pgen2.parse import ParseError
    from fissix.pgen2.tokenize import TokenError
    try:
        tree = tool.refactor_string(text, path)
    except ParseError as error:
        _refuse(text, path, error.context[1][0])
    except TokenError as error:
        _refuse(text, path, error.args[1][0], error.args[0])
    except IndentationError as error:
        _refuse(text, path, error.lineno or 1, error.msg)
    return str(tree), _lines_of(tree)


def _lines_of(tree: Any) -> dict[int, int]:
    """Return, for each line of a tree's text, the line that its first word comes from."""
    known: dict[int, int] = {}
    line = 1
    for leaf in tree.leaves():
        line += leaf.prefix.count("\n")
        after = line + leaf.value.count("\n")
        if leaf.lineno and leaf.value.strip():  # what a fixer inserted, and an indent, has no line of its own
            for i in range(line, after + 1):
                known.setdefault(i, leaf.lineno + i - line)
        line = after
    lines, old = {}, 1
    for i in range(1, line + 1):
        lines[i] = old = known.get(i, old)
    return lines


def _refuse(text: str, path: str, line: int, why: str = "invalid syntax") -> Any:
    rows = text.splitlines()
    row = rows[min(line, len(rows)) - 1] if rows else ""
    raise SyntaxError(f"{why}; neither Python 2 nor Python 3 can read this", (path, line, None, row)) from None


_WITH_LINE = (ast.expr, ast.stmt, ast.excepthandler, ast.arg, ast.keyword, ast.alias)


class _Meaning(ast.NodeTransformer):
    """Python 2's meaning where the syntax is the same: division, exec, tostring; the lines of its text."""

    def __init__(self, lines: dict[int, int], floors: bool) -> None:
        self.lines, self.floors = lines, floors

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, _WITH_LINE):
            node.lineno = node.end_lineno = self.lines.get(node.lineno, node.lineno)
            node.col_offset = node.end_col_offset = -1  # columns of the new text would mark the wrong words
        return super().visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        node.right = self._divisor(node.op, node.right)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        node.value = self._divisor(node.op, node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("exec", "execfile") and node.args:
            node.args[0] = self._call(SOURCE if node.func.id == "exec" else FILE, node.args[0])
            node.func.id = "exec"
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "tostring" and not node.args:
            node.func.attr = "tobytes"  # of arrays, until NumPy 2.3
        return node

    def _divisor(self, op: ast.operator, value: ast.expr) -> ast.expr:
        known = isinstance(value, ast.Constant) and not isinstance(value.value, int)
        return self._call(DIVISOR, value) if isinstance(op, ast.Div) and self.floors and not known else value

    @staticmethod
    def _call(name: str, value: ast.expr) -> ast.expr:
        function = ast.copy_location(ast.Name(name, ast.Load()), value)
        return ast.copy_location(ast.Call(function, [value], []), value)
