"""The folder of a training on own images, models/NAME: what it may hold, and that nothing in it is overwritten.

In:   the name, the settings of the command.
Out:  the folder; settings kept in .training.json, so that the same command goes on and another one is refused.
Not here: what the stages write in it (solvers.run_folder).   Source: ours.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict

from data.sets import SETS
from data.whole import write_text
from own import OwnError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")


class Home:
    """models/NAME of one training."""

    def __init__(self, name: str, models: Path = Path("models")) -> None:
        """Take the folder.

        Raises:
            OwnError: the name cannot be used, or the folder is of another kind of net.
        """
        if not _NAME.match(name) or name.startswith(tuple(f"{key}-" for key in SETS)) or name == "ilsvrc-nets":
            raise OwnError(f"--name '{name}': want letters, digits, '.', '_' or '-', and no beginning that a data set "
                           f"has ({', '.join(f'{key}-' for key in SETS)})")
        self.name = name
        self.path = models / name
        self.data = self.path / "data"
        self._file = self.path / ".training.json"  # no net can have this name, nor its record
        if (self.path / "deploy.prototxt").exists() and not self._file.exists():
            raise OwnError(f"--name '{name}': '{self.path}' has a net that was not made of own images; choose another "
                           "name")

    def open(self) -> None:
        """Make the folder; git is told to leave it alone."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / ".gitignore").exists():
            write_text(self.path / ".gitignore", "*\n")

    def kept(self) -> Dict[str, Any]:
        """Return what an earlier command has decided; empty where there was none."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise OwnError(f"'{self._file}' is no JSON ({error}); choose another --name, or take this folder "
                           "away") from error
        return found if isinstance(found, dict) else {}

    def claim(self, settings: Dict[str, Any]) -> None:
        """Keep the folder for one training, which is known by its settings.

        Raises:
            OwnError: it is another training's; names what differs.
        """
        before = self.kept().get("settings")
        if before is None:
            self.keep(settings=settings)
            return
        settings = json.loads(json.dumps(settings))
        changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
        if changed:
            what = "; ".join(f"{key}: was {_short(before.get(key))}, is {_short(settings.get(key))}" for key in changed)
            raise OwnError(f"'{self.path}' has a training with other settings ({what}), and nothing is overwritten; "
                           "repeat its command to go on with it, or choose another --name")

    def keep(self, **more: Any) -> None:
        """Add to what is kept."""
        self.open()
        write_text(self._file, json.dumps({**self.kept(), **more}, indent=1) + "\n")

    def propose(self, text: str) -> Path:
        """Write the class table, beside the user's own where that was edited; gives its place."""
        self.open()
        path, last = self.path / "classes.txt", self.path / ".proposed"
        if path.exists() and not (last.exists() and last.read_bytes() == path.read_bytes()):
            path = self.path / "classes.proposed.txt"
        else:
            write_text(last, text)
        write_text(path, text)
        return path


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
