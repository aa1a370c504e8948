"""The class table: which value or colour of the labels is which class; a text file for the user to edit.

In:   the looks of all labels, or a table file, or a list of names.
Out:  `Table`, its text, labels in class numbers.
Not here: reading pictures (survey), faults of labels (checker).
Source: ours; 255 and (224, 224, 192) are VOC's void.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from own import OwnError
from own.codes import NEAR, Spectrum, distance
from own.survey import COLOURS, VALUES
from vis import make_palette

VOID = 255
MOST_CLASSES = 255
VOC_VOID, WHITE, BLACK = 0xE0E0C0, 0xFFFFFF, 0
_HEAD = """\
# The classes of your labels. One line for each {what} in them: class, {what}, name.
# Rename as you like. Lines of one class number become one class; `void` pixels count nowhere.
# Class 0 is usually the background. Use it with: --classes {path}
"""
_LINE = re.compile(r"^(void|\d+)\s+(\d+(?:\s+\d+\s+\d+)?)(?:\s+(.*))?$")


@dataclass(frozen=True)
class Row:
    """One value or colour of the labels."""

    number: int  # of the class; VOID where it counts nowhere
    code: int
    name: str
    share: float = 0.0  # of all pixels


@dataclass(frozen=True)
class Table:
    """What the codes of labels mean."""

    form: str  # VALUES or COLOURS
    rows: Tuple[Row, ...]
    near: bool = False  # codes beside a row's count as it, further ones as void: labels with in-between values

    @property
    def classes(self) -> Tuple[str, ...]:
        """The names in the order of the class numbers."""
        names: Dict[int, str] = {}
        for row in self.rows:
            names.setdefault(row.number, row.name)
        names.pop(VOID, None)
        return tuple(names[number] for number in sorted(names))

    def labels(self, codes: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Turn codes (H, W) into class numbers (H, W) uint8, and tell where the table knows no code (H, W) bool."""
        known = np.array([row.code for row in self.rows])
        numbers = np.array([row.number for row in self.rows], np.uint8)
        found, inverse = np.unique(codes, return_inverse=True)
        apart = np.stack([distance(found, code, self.form) for code in known])  # (rows, codes)
        nearest = apart.argmin(0)
        strange = apart.min(0) > (NEAR if self.near else 0)
        label = np.where(strange, VOID, numbers[nearest]).astype(np.uint8)
        return label[inverse].reshape(codes.shape), strange[inverse].reshape(codes.shape)


def propose(spectrum: Spectrum) -> Table:
    """Guess the classes from what occurs.

    Values are numbered anew in their order, colours black first, then in VOC's order where all are VOC's, else
    by how many pixels they have. Void is 255 beside class numbers, VOC's (224, 224, 192), and white beside two
    other colours; 0 and 255 alone are a mask, in which 255 is class 1.

    Raises:
        OwnError: fewer than two classes, or more than a label can hold.
    """
    codes = _in_order(spectrum)
    void = _void(codes, spectrum.form)
    kept = [code for code in codes if code != void]
    if len(kept) > MOST_CLASSES:
        raise OwnError(f"labels: {len(kept)} different {spectrum.form}, want at most {MOST_CLASSES}; these are not "
                       "class labels (are --images and --labels the wrong way round?)")
    if not kept:
        raise OwnError("labels: all are void in every pixel, so there is nothing to learn; name the classes with "
                       "--classes, or give other labels")
    rows = [Row(number, code, _name(number, code, spectrum.form), spectrum.share(code))
            for number, code in enumerate(kept)]
    if void is not None:
        rows.append(Row(VOID, void, "void", spectrum.share(void)))
    if len(kept) < 2:
        raise OwnError(f"labels: only one class, {code_text(kept[0], spectrum.form)}, in all of them; want two or "
                       "more, of which one may be the background")
    return Table(spectrum.form, tuple(rows), spectrum.noisy)


def table_text(table: Table, path: Path) -> str:
    """Give the table as text; `path` is where it will lie."""
    what = "value" if table.form == VALUES else "colour (red green blue)"
    lines = []
    for row in table.rows:
        number = "void" if row.number == VOID else str(row.number)
        lines.append(f"{number:6}{code_text(row.code, table.form):14}{row.name:20}# {row.share:.2%} of the pixels")
    return _HEAD.format(what=what, path=path) + "\n".join(lines) + "\n"


def read_table(path: Path, spectrum: Spectrum) -> Table:
    """Read --classes FILE: a class table, or plain names, one a line, of the classes 0, 1, ...

    Raises:
        OwnError: missing, no text, or a line that is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise OwnError(f"--classes '{path}': {reason}; want a class table, or one class name a line") from error
    lines = [(number, re.sub(r"\s#.*|^#.*", "", line).strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise OwnError(f"--classes '{path}': no class in it; want a class table, or one class name a line")
    matches = [_LINE.match(line) for _, line in lines]
    if not any(matches):
        return _named([line for _, line in lines], spectrum, path)
    rows = []
    for (number, line), match in zip(lines, matches):
        if match is None:
            raise OwnError(f"--classes '{path}', line {number}: {line!r}; want `class {spectrum.form[:-1]} name`, such "
                           "as `1 128 0 0 cat` for a colour or `1 255 cat` for a value")
        rows.append(_row(match, path, number))
    return _checked(Table(_form(matches, path), tuple(rows), spectrum.noisy), spectrum, path)


def _row(match: re.Match, path: Path, line: int) -> Row:
    parts = [int(part) for part in match[2].split()]
    number = VOID if match[1] == "void" else int(match[1])
    if len(parts) == 3 and max(parts) > 255:
        raise OwnError(f"--classes '{path}', line {line}: colour {match[2]}; want red, green and blue from 0 to 255")
    if match[1] != "void" and number >= MOST_CLASSES:
        raise OwnError(f"--classes '{path}', line {line}: class {number}; want 0 to {MOST_CLASSES - 1}, or void")
    code = parts[0] if len(parts) == 1 else parts[0] << 16 | parts[1] << 8 | parts[2]
    return Row(number, code, (match[3] or "").strip() or ("void" if number == VOID else f"class{number}"))


def _form(matches: Sequence[Optional[re.Match]], path: Path) -> str:
    forms = {COLOURS if len(match[2].split()) == 3 else VALUES for match in matches if match}
    if len(forms) > 1:
        raise OwnError(f"--classes '{path}': some lines have a value, some a colour; want one kind in all")
    return forms.pop()


def _named(names: List[str], spectrum: Spectrum, path: Path) -> Table:
    """Name the classes 0, 1, ... in order, as those of value 0, 1, ... or as proposed for colours."""
    if spectrum.form == VALUES and not _is_mask(spectrum.main):
        rows = [Row(value, value, name, spectrum.share(value)) for value, name in enumerate(names)]
        if VOID in spectrum.main and len(names) <= VOID:
            rows.append(Row(VOID, VOID, "void", spectrum.share(VOID)))
        return _checked(Table(VALUES, tuple(rows), spectrum.noisy), spectrum, path)
    table = propose(spectrum)
    if len(table.classes) != len(names):
        raise OwnError(f"--classes '{path}': {len(names)} names, but the labels have {len(table.classes)} "
                       f"{spectrum.form} that are not void; give a class table (--check writes one to edit)")
    return replace(table, rows=tuple(replace(row, name=names[row.number]) if row.number != VOID else row
                                     for row in table.rows))


def _checked(table: Table, spectrum: Spectrum, path: Path) -> Table:
    """Refuse a table that cannot be meant; fill in the shares."""
    numbers = sorted({row.number for row in table.rows} - {VOID})
    if numbers != list(range(len(numbers))):
        raise OwnError(f"--classes '{path}': class numbers {', '.join(map(str, numbers)) or 'none'}; want 0, 1, 2, ... "
                       "without gaps")
    if len(numbers) < 2:
        raise OwnError(f"--classes '{path}': {len(numbers)} class; want two or more, background included")
    codes = [row.code for row in table.rows]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise OwnError(f"--classes '{path}': {code_text(twice[0], table.form)} is there twice; want one line for each")
    if table.form != spectrum.form:
        raise OwnError(f"--classes '{path}': the table has {table.form}, the labels have {spectrum.form}; "
                       "--check writes a table of these labels")
    return replace(table, rows=tuple(replace(row, share=spectrum.share(row.code)) for row in table.rows))


def _in_order(spectrum: Spectrum) -> List[int]:
    if spectrum.form == VALUES:
        return sorted(spectrum.main)
    voc = {int(r) << 16 | int(g) << 8 | int(b): number for number, (r, g, b) in enumerate(make_palette(256))}
    if all(code in voc for code in spectrum.main):
        return sorted(spectrum.main, key=lambda code: voc[code])
    return sorted(spectrum.main, key=lambda code: (code != BLACK, -spectrum.share(code), code))


def _void(codes: Sequence[int], form: str) -> Optional[int]:
    if form == COLOURS:
        if VOC_VOID in codes:
            return VOC_VOID
        return WHITE if WHITE in codes and len(codes) > 2 else None
    others = [code for code in codes if code != VOID]
    # 255 beside small numbers is void; beside 0 alone, or beside greys such as 128, it is a grey of a mask
    return VOID if VOID in codes and not _is_mask(codes) and (not others or max(others) < 128) else None


def _is_mask(codes: Sequence[int]) -> bool:
    return sorted(codes) == [0, VOID]


def _name(number: int, code: int, form: str) -> str:
    if code == BLACK and number == 0:
        return "background"
    return f"class{code}" if form == VALUES and code < 200 else f"class{number}"


def code_text(code: int, form: str) -> str:
    """Write a code as the class table has it."""
    return str(code) if form == VALUES else f"{code >> 16} {code >> 8 & 255} {code & 255}"
