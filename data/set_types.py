"""What a data set is made of: its heads, means, splits, and what must be on disk.

In:   names, classes and places.
Out:  DataSet, Head, Split, Need.
Not here: the sets there are (set_rows.py), looking at the disk (sets.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Mean = tuple[float, ...]  # one number a channel, in the channels' order


@dataclass(frozen=True)
class Head:
    """One task: class k is classes[k]; `suffix` is glued to the names of the net's score layers."""

    classes: tuple[str, ...]
    suffix: str = ""
    label: str = "label"  # blob of the truth
    loss: str = "loss"  # blob of the loss

    @property
    def score(self) -> str:
        """Name of the blob of scores, cropped to the image."""
        return f"score{self.suffix}"


@dataclass(frozen=True)
class Split:
    """One list of ids and where the files of an id lie, relative to `folder`; {} is the id.

    With `label` empty the lines of the list are `name number` (a classifier's list).
    """

    name: str
    folder: str
    ids: str
    image: str
    label: str = ""
    other_labels: tuple[str, ...] = ()  # of the second head on

    def files(self) -> tuple[str, ...]:
        """Give the forms of the files of an id, images first."""
        return tuple(form for form in (self.image, self.label, *self.other_labels) if form)


@dataclass(frozen=True)
class Need:
    """One thing that must be there: its place, how to get it, and a checksum of the download."""

    place: str
    origin: str
    checksum: str = ""
    kind: str = ""  # only nets with this kind of input need it (hha, depth); empty: all


@dataclass(frozen=True)
class DataSet:
    """One data set as nets see it: label k is classes[k], ignore_label counts nowhere."""

    name: str
    heads: tuple[Head, ...]
    means: Mapping[str, Mean]  # by kind of input (color, hha, depth), subtracted from what is on disk
    scale: float  # multiplies what is left
    train_dir: str  # all places are relative to the project's root
    val_dir: str
    splits: tuple[Split, ...]
    needs: tuple[Need, ...]
    licence: str
    ignore_label: int = 255
    palette: str = "voc"  # colours of label pictures: vis.make_palette

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the first head, which is the only one but for SIFT Flow."""
        return self.heads[0].classes

    @property
    def mean_bgr(self) -> tuple[float, float, float]:
        """Mean of colour images, blue first."""
        blue, green, red = self.means["color"]
        return blue, green, red
