"""The first half of the way from two folders to a net: look at everything, understand it, say what is wrong.

In:   a request.
Out:  what is used (`Checked`), the class table and check.html in the run's folder; findings on the screen.
Not here: training (run), the single steps (pairs, survey, codes, table, checker, splits).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional

from data.whole import write_text
from own import OwnError
from own.checker import ERROR, NOTE, Finding, check_classes, check_files, class_counts, is_void, usable
from own.codes import spectrum_of
from own.home import Home
from own.pairs import find_pairs
from own.report import Checked, check_page
from own.splits import draw, given, without
from own.survey import survey
from own.table import propose, read_table, table_text

_SCREEN = 12  # errors told one by one


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    images: Path
    labels: Path
    classes: Optional[Path] = None
    train_list: Optional[Path] = None
    val_list: Optional[Path] = None
    net: Optional[str] = None
    init: Optional[str] = None
    name: str = "own"
    minutes: Optional[float] = None
    max_iter: Optional[int] = None
    max_side: Optional[int] = None
    batch: int = 1
    crop: int = 0
    jitter: int = 0
    mirror: bool = True
    seed: int = 0
    leave_out: bool = False


def inspect(request: Request, home: Home) -> Checked:
    """Check images and labels.

    Raises:
        OwnError: nothing can be trained from them, or some cannot be used and shall not be left out.
    """
    pairs = find_pairs(request.images, request.labels)
    ids = [pair.id for pair in pairs.rows]
    splits = None
    if request.train_list or request.val_list:
        splits = given(ids, request.train_list, request.val_list)
    looks = survey(pairs.rows)
    read = [look for look in looks if not look.fault]
    if len(read) < 2:
        first = next(look.fault for look in looks if look.fault)
        raise OwnError(f"{len(read)} of {len(looks)} pairs can be read, want at least 2; {first}")
    spectrum = spectrum_of(looks)
    table = read_table(request.classes, spectrum) if request.classes else propose(spectrum)
    findings = check_files(pairs, looks, spectrum, table)
    kept = [look for look in usable(looks, findings) if not is_void(look, table)]
    errors = [finding for finding in findings if finding.level == ERROR]
    if len(kept) >= 2:
        names = [look.pair.id for look in kept]
        splits = without(splits, names) if splits else draw(names, {look.pair.id: class_counts(look, table)
                                                                    for look in kept}, request.seed)
        findings = [*findings, *check_classes(table, kept, splits)]
    checked = Checked(table, _sorted(findings), kept, splits or {"train": [], "val": []})
    _tell(request, home, checked)
    if errors and not request.leave_out:
        raise OwnError(f"{len({pair.id for one in errors for pair in one.pairs})} of {len(ids)} pairs cannot be used; "
                       f"'{home.path}/check.html' shows them; mend them, or leave them out with --leave-out")
    if len(kept) < 2:
        raise OwnError(f"only {len(kept)} of {len(ids)} pairs can be used; want at least 2; see "
                       f"'{home.path}/check.html'")
    used = {name for split in checked.splits.values() for name in split}
    return replace(checked, looks=[look for look in kept if look.pair.id in used])


def _tell(request: Request, home: Home, checked: Checked) -> None:
    """Print what was found and understood; write the class table and the page."""
    table = checked.table
    place = request.classes or home.propose(table_text(table, home.path / "classes.txt"))
    home.open()
    write_text(home.path / "check.html", check_page(home.name, checked))
    print(f"classes ({place}):")
    for line in table_text(table, home.path / "classes.txt").splitlines():
        if not line.startswith("#"):
            print(f"  {line}")
    sizes = ", ".join(f"{len(ids)} {split}" for split, ids in checked.splits.items())
    print(f"{len(checked.looks)} pairs can be used: {sizes}")
    errors = [finding for finding in checked.findings if finding.level == ERROR]
    for finding in [*errors[:_SCREEN], *[one for one in checked.findings if one.level != ERROR]]:
        print(finding, file=sys.stdout if finding.level == NOTE else sys.stderr)
    if len(errors) > _SCREEN:
        print(f"error: and {len(errors) - _SCREEN} more like these", file=sys.stderr)
    print(f"pictures of this: {home.path}/check.html", flush=True)


def _sorted(findings: List[Finding]) -> List[Finding]:
    weight: Dict[str, int] = {ERROR: 0, "warning": 1, NOTE: 2}
    return sorted(findings, key=lambda finding: weight[finding.level])
