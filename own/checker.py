"""What is wrong, doubtful or worth knowing about a user's images and labels, before anything is trained.

In:   the looks of all pairs, the class table, the splits.
Out:  findings in order of weight: error (cannot be used), warning (used, but look), note (how it was understood).
Not here: pictures of them (panels), guessing the table (table).
Source: ours; what users of other FCN codes stumble over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np

from own.codes import Spectrum, as_form, palettes_differ
from own.pairs import Pair, Pairs, listed
from own.survey import COLOURS, VALUES, Look
from own.table import VOID, Table

ERROR, WARNING, NOTE = "error", "warning", "note"
FEW_IMAGES = 200  # the paper's sets have 795 and more; below this, say so
RARE = 0.001  # share of all pixels below which a class is hardly there
_PHOTOGRAPH = 0.3  # share of in-between pixels from which a label is none
_TINY = 8  # pixels: the finest stride


@dataclass(frozen=True)
class Finding:
    """One thing found, the pairs it concerns, and what to do."""

    level: str
    kind: str  # a word for file names
    what: str
    remedy: str = ""
    pairs: Tuple[Pair, ...] = ()

    def __str__(self) -> str:
        """Write it in one line."""
        names = f" ({listed(pair.id for pair in self.pairs)})" if self.pairs else ""
        return f"{self.level}: {self.what}{names}" + (f"; {self.remedy}" if self.remedy else "")


def class_counts(look: Look, table: Table) -> np.ndarray:
    """Count the pixels of each number in a label: (256,) int64; [255] is void and what the table does not know."""
    numbers, _ = table.labels(as_form(look, table.form))
    return np.bincount(numbers, weights=look.counts, minlength=VOID + 1).astype(np.int64)


def check_files(pairs: Pairs, looks: Sequence[Look], spectrum: Spectrum, table: Table) -> List[Finding]:
    """Check every pair by itself, and how the labels are written."""
    read = [look for look in looks if not look.fault]
    strange = [look for look in read if _strange(look, table)]
    found = [Finding(ERROR, "unreadable", look.fault, "bring the file again, or take the pair out", (look.pair,))
             for look in looks if look.fault]
    found += [_size_finding(look) for look in read if not fits(look)]
    if strange and table.near:
        found.append(_between(strange, spectrum))
    elif strange:
        found.append(_beyond(strange, table))
    found += _form_findings(read, spectrum, table)
    tiny = [look for look in read if max(look.image_size) < _TINY]
    if tiny:
        smallest = min(look.image_size for look in tiny)
        found.append(Finding(WARNING, "tiny", f"{len(tiny)} images of less than {_TINY} pixels a side, the smallest "
                             f"{_size(smallest)}", "even a net of stride 8 sees one place in them", _pairs(tiny)))
    void = [look for look in read if is_void(look, table)]
    if void:
        found.append(Finding(WARNING, "all-void", f"{len(void)} labels are void in every pixel", "they are left out: "
                             "nothing can be learned or scored from them", _pairs(void)))
    return found + _alone(pairs)


def check_classes(table: Table, looks: Sequence[Look], splits: Dict[str, Sequence[str]]) -> List[Finding]:
    """Check how many images there are, and whether each class occurs where it is needed.

    Args:
        table: of the classes.
        looks: that are used.
        splits: ids of `train` and `val`.
    """
    counts = {look.pair.id: class_counts(look, table) for look in looks}
    sums = {split: np.sum([counts[name] for name in ids if name in counts], axis=0) for split, ids in splits.items()}
    whole = sums["train"] + sums["val"]
    found = []
    count = len(splits["train"])
    if count < FEW_IMAGES:
        found.append(Finding(WARNING, "few", f"{count} images to train on are few: expect a net that does better than "
                             "guessing, not one to rely on", "label more images; hundreds make a difference"))
    for number, name in enumerate(table.classes):
        if not whole[number]:
            found.append(Finding(WARNING, "absent", f"class {number} '{name}' occurs in no label",
                                 "it cannot be learned; take it out of the class table, or label images that have it"))
        elif not sums["train"][number]:
            found.append(Finding(WARNING, "absent", f"class {number} '{name}' occurs in no training label",
                                 "it cannot be learned with these splits"))
        elif not sums["val"][number]:
            found.append(Finding(WARNING, "absent", f"class {number} '{name}' occurs in no validation label",
                                 "nothing is known of how well it is found"))
        if 0 < whole[number] < RARE * whole[:VOID].sum():
            found.append(Finding(WARNING, "rare", f"class {number} '{name}' has {whole[number]:,} pixels, "
                                 f"{whole[number] / whole[:VOID].sum():.3%} of all: hardly any", "expect an IU near 0"))
    both = set(splits["train"]) & set(splits["val"])
    if both:
        found.append(Finding(WARNING, "both", f"{len(both)} ids are in the training list and in the validation list "
                             f"({listed(sorted(both))})", "scores on images that were trained on are too good"))
    return found


def fits(look: Look) -> bool:
    """Tell whether label and image have one size, upright or as stored."""
    return look.label_size in (look.image_size, look.stored_size)


def is_void(look: Look, table: Table) -> bool:
    """Tell whether no pixel of a label has a class."""
    return not class_counts(look, table)[:VOID].any()


def usable(looks: Sequence[Look], findings: Sequence[Finding]) -> List[Look]:
    """Give the looks that no error concerns."""
    bad = {pair.id for finding in findings if finding.level == ERROR for pair in finding.pairs}
    return [look for look in looks if look.pair.id not in bad]


def _strange(look: Look, table: Table) -> bool:
    return bool(table.labels(as_form(look, table.form))[1].any())


def _size_finding(look: Look) -> Finding:
    return Finding(ERROR, "size", f"'{look.pair.label}' has {_size(look.label_size)} pixels, its image "
                   f"'{look.pair.image}' {_size(look.image_size)}",
                   "make the label for this very image, or enlarge it by the nearest pixel", (look.pair,))


def _between(strange: Sequence[Look], spectrum: Spectrum) -> Finding:
    """In-between codes: of a few they are the blurred rims of labels; of many, the labels are photographs."""
    share = spectrum.between
    what = (f"{share:.2%} of the label pixels have one of {len(spectrum.pixels) - len(spectrum.main):,} in-between "
            f"{spectrum.form}")
    if share > _PHOTOGRAPH:
        return Finding(ERROR, "photographs", f"{what}: these are photographs, not class labels",
                       "are --images and --labels the wrong way round?", _pairs(strange))
    why = "JPEG changes values" if any(look.lossy for look in strange) else "borders were smoothed"
    return Finding(WARNING, "in-between", f"{what}: {why}", "they count as the class they are near, else as void; save "
                   "labels as PNG, without smoothing and without resizing other than by the nearest pixel",
                   _pairs(strange))


def _beyond(strange: Sequence[Look], table: Table) -> Finding:
    codes = sorted({code for look in strange for code in as_form(look, table.form)[
        table.labels(as_form(look, table.form))[1]].tolist()})
    names = [str(code) if table.form == VALUES else f"#{code:06x}" for code in codes]
    return Finding(ERROR, "beyond", f"{len(strange)} labels have {table.form} that the class table does not name: "
                   f"{listed(names)}", f"add them to the table (`void` for what shall not count); it has "
                   f"{len(table.classes)} classes", _pairs(strange))


def _form_findings(looks: Sequence[Look], spectrum: Spectrum, table: Table) -> List[Finding]:
    """Tell how the labels were understood, where it is not the plain way."""
    found = []
    if spectrum.form == COLOURS and palettes_differ(looks):
        found.append(Finding(WARNING, "palettes", "the labels have palettes that differ, so one number is now this "
                             "class, now that", "colours were taken for the classes, not numbers"))
    elif spectrum.form == COLOURS:
        coloured = [look for look in looks if look.form == COLOURS]
        found.append(Finding(NOTE, "three-channel", f"{len(coloured)} labels are colour pictures of three channels",
                             "colours became classes by the class table: look it over", _pairs(coloured[:3])))
    elif any(look.grey for look in looks):
        grey = [look for look in looks if look.grey]
        found.append(Finding(NOTE, "three-channel", f"{len(grey)} labels have three channels that are equal",
                             "one of them was taken for the class numbers", _pairs(grey[:3])))
    main = sorted(spectrum.main)
    values = [code for code in main if code != VOID]
    if spectrum.form == VALUES and main == [0, VOID]:
        found.append(Finding(NOTE, "mask", "the labels are masks of 0 and 255", "255 is class "
                             f"{_number(table, VOID)}", _pairs(looks[:3])))
    elif spectrum.form == VALUES and values != list(range(len(values))):
        gone = sorted(set(range(max(values))) - set(values))
        found.append(Finding(WARNING, "gaps", f"the class numbers have gaps: there is no {listed(gone)} below "
                             f"{max(values)}", f"the table has {len(table.classes)} classes; to keep the numbers, name "
                             "all classes with --classes", _pairs(looks[:1])))
    return found


def _number(table: Table, code: int) -> str:
    numbers = [row.number for row in table.rows if row.code == code]
    return "void" if numbers[:1] == [VOID] else f"{numbers[0]} '{table.classes[numbers[0]]}'" if numbers else "unknown"


def _alone(pairs: Pairs) -> List[Finding]:
    found = []
    for alone, what, other in ((pairs.images_alone, "images", "label"), (pairs.labels_alone, "labels", "image")):
        if alone:
            found.append(Finding(WARNING, "alone", f"{len(alone)} {what} have no {other} of their stem: "
                                 f"{listed(path.name for path in alone)}", "they are left out"))
    return found


def _pairs(looks: Sequence[Look]) -> Tuple[Pair, ...]:
    return tuple(look.pair for look in looks)


def _size(size: Tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
