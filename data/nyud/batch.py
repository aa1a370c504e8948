"""Many frames, one by one: what is done stays, what failed is told at the end.

In:   a function that makes one thing and says what is wrong with it; the things; processes.
Out:  a progress bar; one error for all that failed, after everything else is done.
Not here: what is made (convert.py, hha_files.py).
Source: ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from data.processes import spread
from data.whole import DataError, write_text


def begin(record: Path, settings: dict[str, Any], files: Iterable[Path]) -> None:
    """Note with which settings files are made; those that were made with others are removed first.

    Args:
        record: JSON file that holds the settings. Where there is none, files from elsewhere may lie
            beside it; they stay.
        settings: of this run.
        files: all that a run with these settings can make.
    """
    text = json.dumps(settings, indent=1) + "\n"
    if record.exists() and record.read_text(encoding="utf-8", errors="replace") != text:
        for path in files:
            if path.exists():
                path.unlink()
    write_text(record, text)


def run(work: Callable[[Any], tuple[int, list[str]]], items: Sequence[Any], workers: int, *,
        name: str, done: int, total: int) -> None:
    """Do the work behind a progress bar.

    Args:
        work: makes one item; gives how many frames that was and what went wrong, a line for each.
        items: what is left to do.
        workers: processes.
        name: of the bar.
        done: frames that were there before.
        total: frames in all.

    Raises:
        DataError: some failed; names the first three. All others are done.
    """
    from tqdm import tqdm

    failed: list[str] = []
    pause = 0.2 if sys.stderr.isatty() else 10  # seconds; a log wants few lines
    with tqdm(total=total, initial=done, desc=name, unit="image", file=sys.stderr, dynamic_ncols=True,
              mininterval=pause, disable=not items) as bar:
        for frames, faults in spread(work, items, workers):
            failed += faults
            bar.update(frames)
    if failed:
        more = f"; and {len(failed) - 3} more" if failed[3:] else ""
        raise DataError(f"{name}: {len(failed)} of {total} images failed, the others are done: "
                        + "; ".join(sorted(failed)[:3]) + more)
