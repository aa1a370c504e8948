"""Which codes of all labels stand for something, and which are in-between values of blurred or lossy labels.

In:   the looks of all labels.
Out:  `Spectrum`: one form, the main codes, the pixels of each code.
Not here: what a code is called (table), pictures of what is wrong (checker).   Source: ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence

import numpy as np

from own.survey import COLOURS, VALUES, Look

NEAR = 32  # largest difference of a channel at which a code of lossy labels counts as a main one
_AMID = 0.2  # a code is a surface where this share of its pixels lies amid its own kind ...
_WIDE = 0.005  # ... or where it has this share of all pixels, as thin borders have
_ANY = 0.0005  # below this share, a code of lossy labels is none
_FEW_BETWEEN = 20  # so many further codes may be thin things; more are in-between values


@dataclass(frozen=True)
class Spectrum:
    """The codes of all labels together."""

    form: str
    main: Sequence[int]  # codes that stand for something, in order
    pixels: Dict[int, int]  # of every code
    noisy: bool  # there are in-between codes as well

    def share(self, code: int) -> float:
        """Share of a code, with those that count as it, of all pixels."""
        total = sum(self.pixels.values())
        if not self.noisy:
            return self.pixels.get(code, 0) / total
        found = np.array(list(self.pixels))
        counts = np.array(list(self.pixels.values()))
        return float(counts[distance(found, code, self.form) <= NEAR].sum() / total)

    @property
    def between(self) -> float:
        """Share of pixels whose code is next to no main one."""
        return max(0.0, 1.0 - sum(self.share(code) for code in self.main))


def spectrum_of(looks: Sequence[Look]) -> Spectrum:
    """Join the looks that could be read; grey labels of three channels count as one channel."""
    looks = [look for look in looks if not look.fault]
    form = form_of(looks)
    pixels: Dict[int, int] = {}
    solid: Dict[int, int] = {}
    for look in looks:
        for code, count, amid in zip(as_form(look, form).tolist(), look.counts.tolist(), look.solid.tolist()):
            pixels[code] = pixels.get(code, 0) + count
            solid[code] = solid.get(code, 0) + amid
    total = sum(pixels.values())
    surfaces = [code for code, count in pixels.items() if solid[code] >= _AMID * count or count >= _WIDE * total]
    further = len(pixels) - len(surfaces)
    noisy = any(look.lossy for look in looks) or further > max(_FEW_BETWEEN, len(surfaces))
    main = _apart(surfaces, pixels, total, form) if noisy else list(pixels)
    return Spectrum(form, sorted(main), pixels, noisy)


def form_of(looks: Sequence[Look]) -> str:
    """Values, or colours: where one label has colour, or where palettes put one colour under several numbers."""
    if any(look.form == COLOURS and not look.grey for look in looks) or palettes_differ(looks):
        return COLOURS
    return VALUES


def palettes_differ(looks: Sequence[Look]) -> bool:
    """Tell whether a value has one colour in one label and another in the next: the value then means nothing."""
    seen: Dict[int, int] = {}
    return any(seen.setdefault(value, colour) != colour for look in looks for value, colour in look.palette or ())


def as_form(look: Look, form: str) -> np.ndarray:
    """Give the codes of a look in this form, (C,) as its counts."""
    if form == VALUES:
        return look.codes & 255 if look.form == COLOURS else look.codes
    if look.form == COLOURS:
        return look.codes
    if look.palette is None:
        return (look.codes & 255) * 0x010101
    table = dict(look.palette)
    return np.array([table.get(code, 0) for code in look.codes.tolist()])


def distance(codes: np.ndarray, code: int, form: str) -> np.ndarray:
    """Largest difference of a channel between codes (C,) and one code."""
    if form == VALUES:
        return np.abs(codes.astype(np.int64) - code)
    return np.max([np.abs((codes >> shift & 255).astype(np.int64) - (code >> shift & 255)) for shift in (16, 8, 0)], 0)


def _apart(surfaces: List[int], pixels: Dict[int, int], total: int, form: str) -> List[int]:
    """Keep the largest of each group of codes that lie near each other."""
    main: List[int] = []
    for code in sorted(surfaces, key=lambda code: (-pixels[code], code)):
        if pixels[code] >= _ANY * total and (not main or distance(np.array(main), code, form).min() > NEAR):
            main.append(code)
    return main
