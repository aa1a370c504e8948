"""Several processes that work on one thing: which of them this is, and how they hand each other results.

In:   RANK, WORLD_SIZE and LOCAL_RANK from the environment, as torchrun sets them; a folder that all processes see.
Out:  Ranks; a Meeting, through which the first process gets what the others have counted, and they its word.
Not here: gradients (caffe.NCCL), starting processes (torchrun).
What is handed over are small JSON files. Files of an earlier run are never taken for this one's: each process shows a
number drawn at random, and believes only a token that the first process has written beside that number.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, TypeVar

from data.whole import write_text

_SECONDS = 0.05  # between two looks for a file
_PATIENCE = 3600.0  # seconds without news after which a process counts as gone; FCN_RANKS_TIMEOUT sets another
Found = TypeVar("Found")


class RanksError(ValueError):
    """Processes that cannot work together; the message says which one is missing or wrong."""


class Ranks(NamedTuple):
    """One process among several."""

    rank: int = 0  # of this process
    count: int = 1
    local: int = 0  # of this process among those on this machine

    @property
    def is_first(self) -> bool:
        """Whether this process writes results and speaks."""
        return self.rank == 0


def here() -> Ranks:
    """Read which process this is; without torchrun the only one.

    Raises:
        RanksError: the environment does not say so.
    """
    found = {}
    for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")):
        text = os.environ.get(name, usual)
        if not (text.isascii() and text.isdigit()):
            raise RanksError(f"{name} is '{text}' in the environment; want a whole number, as torchrun sets it")
        found[name] = int(text)
    if found["RANK"] >= found["WORLD_SIZE"]:
        raise RanksError(f"RANK is {found['RANK']} in the environment and WORLD_SIZE {found['WORLD_SIZE']}; want RANK "
                         "below WORLD_SIZE, as torchrun sets them")
    return Ranks(found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"])


def gpu_of(ranks: Ranks, gpu: Optional[int]) -> Optional[int]:
    """Give this process's GPU: --gpu names that of a machine's first process, the others take those after it."""
    return None if gpu is None else gpu + ranks.local


@contextlib.contextmanager
def first_speaks(ranks: Ranks) -> Any:
    """Let the lines that the other processes print to stdout be left out."""
    with contextlib.ExitStack() as stack:
        if not ranks.is_first:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        yield


class Meeting:
    """Processes that meet in a folder; all must call `gather` and `tell` in the same order.

    Args:
        ranks: which process this is.
        folder: one that all processes see, of this work alone; it is made, and its files go at the end.

    Raises:
        RanksError: a process that does not come.
    """

    def __init__(self, ranks: Ranks, folder: Path) -> None:
        self.ranks, self._folder, self._turn, self._token = ranks, folder, 0, ""
        if ranks.count == 1:
            return
        folder.mkdir(parents=True, exist_ok=True)
        number = secrets.token_hex(8)
        if ranks.is_first:
            for left in folder.glob("*-*-*"):  # of a run that was killed
                left.unlink()
            self._token = number
            self._numbers: Dict[str, str] = {}
        else:
            write_text(folder / f"here-{ranks.rank}", number)
            self._token = self._wait_for(0, lambda: self._answered(number))
        self.tell()  # from here on all are there
        if ranks.is_first:
            for name in ("token", *(f"here-{rank}" for rank in self._numbers)):
                (folder / name).unlink()

    def __enter__(self) -> Meeting:
        """Go on when all are there."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Let the first process remove the folder, where nothing is left in it."""
        if self.ranks.count > 1 and self.ranks.is_first:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def gather(self, value: Any, check: Callable[[], None] = lambda: None) -> Optional[List[Any]]:
        """Give the first process the JSON values of all, in the order of their ranks; the others None.

        Args:
            value: of this process.
            check: called while the first one waits; raises when it is to stop.
        """
        if self.ranks.count == 1:
            return [value]
        self._turn += 1
        if not self.ranks.is_first:
            write_text(self._path(self.ranks.rank), json.dumps(value))
            return None
        return [value] + [self._wait_for(rank, partial(self._taken, self._path(rank)), check)
                          for rank in range(1, self.ranks.count)]

    def tell(self, value: Any = None) -> Any:
        """Give all processes the first one's JSON value; the others wait for it."""
        if self.ranks.count == 1:
            return value
        self._turn += 1
        path = self._path(0)
        if self.ranks.is_first:
            write_text(path, json.dumps(value))
            self.gather(None)  # all have it
            path.unlink()
            return value
        told = self._wait_for(0, lambda: json.loads(path.read_text()))
        self.gather(None)
        return told

    def _path(self, rank: int) -> Path:
        return self._folder / f"{self._token}-{self._turn}-{rank}"

    def _taken(self, path: Path) -> Any:
        """Read a value and take its file away; meanwhile answer processes that have just come."""
        self._greet()
        value = json.loads(path.read_text())
        path.unlink()
        return value

    def _greet(self) -> None:
        """Write the token beside the number of every process that has come."""
        now = {path.name.split("-")[1]: path.read_text() for path in self._folder.glob("here-*")}
        if now and now != self._numbers:
            self._numbers = now
            write_text(self._folder / "token", json.dumps({"token": self._token, "numbers": now}))

    def _answered(self, number: str) -> str:
        """Read the token of the first process that has seen this number."""
        answer = json.loads((self._folder / "token").read_text())
        if answer["numbers"].get(str(self.ranks.rank)) != number:
            raise FileNotFoundError
        return answer["token"]

    def _wait_for(self, who: int, look: Callable[[], Found], check: Callable[[], None] = lambda: None) -> Found:
        """Look again and again until there is a file."""
        patience = float(os.environ.get("FCN_RANKS_TIMEOUT", _PATIENCE))
        until = time.monotonic() + patience
        while True:
            try:
                return look()
            except FileNotFoundError:
                if time.monotonic() > until:
                    raise RanksError(f"process {self.ranks.rank} of {self.ranks.count} has waited {patience:.0f} s for "
                                     f"process {who} in '{self._folder}'; it has ended, or does not see this folder") \
                        from None
                check()
                time.sleep(_SECONDS)
