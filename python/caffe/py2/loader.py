"""Modules of a Python 2 script: those beside it, and those that Python 3 renamed.

In:   sys.path. Out: `install()` makes `import` find both kinds; `Loader` runs one file.
Not here: how text is converted (source.py), which names were renamed (names.py).
"""

from __future__ import annotations

import importlib.machinery as machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import Loader as AnyLoader
from importlib.abc import MetaPathFinder
from types import CodeType, ModuleType
from typing import Any

from .names import MODULES, builtins_of_python_2, restore_attributes
from .source import to_code

INSTALLED = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})
CAFFE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))  # the folder that holds this package


class Loader(machinery.SourceFileLoader):
    """Runs a source file as Python 2 does; it leaves no .pyc, which plain Python would mistake for its own."""

    def get_code(self, fullname: str) -> CodeType:
        """The file's code, converted."""
        return to_code(self.get_data(self.path), self.path, "." in fullname or self.is_package(fullname))

    def exec_module(self, module: ModuleType) -> None:
        """Run it, with Python 2's builtins."""
        vars(module)["__builtins__"] = builtins_of_python_2()
        super().exec_module(module)


class _OldNames(MetaPathFinder, AnyLoader):
    """Makes a module with an old name from what replaced it."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        for source in MODULES[module.__name__]:
            names = source if isinstance(source, dict) else vars(importlib.import_module(source))
            vars(module).update({k: v for k, v in names.items() if not (k.startswith("__") and k.endswith("__"))})
        if module.__name__ == "__builtin__":
            vars(module).update(builtins_of_python_2())


def _finder(path: str) -> machinery.FileFinder:
    """For sys.path_hooks: a user's folder; installed packages are Python 3's."""
    real = os.path.realpath(path or os.curdir)
    if (real + os.sep).startswith(INSTALLED) or real == CAFFE or real.startswith(os.path.join(CAFFE, "caffe")) or (
            not os.path.isdir(real)) or {"site-packages", "dist-packages"} & set(real.split(os.sep)):
        raise ImportError(f"{path} is not a folder of scripts")
    return machinery.FileFinder(path or os.curdir, (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
                                (Loader, machinery.SOURCE_SUFFIXES))


def install() -> None:
    """Make `import` read users' modules as Python 2 and know the old names from now on."""
    restore_attributes()
    sys.meta_path.insert(0, _OldNames())
    sys.path_hooks.insert(0, _finder)
    sys.path_importer_cache.clear()
