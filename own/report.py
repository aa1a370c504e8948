"""The report of a training on own images: what was trained, of what, how well, what looks wrong.

In:   facts, findings, the evaluation, the stages' curves.
Out:  HTML text of one self-contained page (report.html, check.html).
Not here: HTML itself (page), finding and scoring (checker, evaluate).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from own.checker import Finding, class_counts
from own.evaluate import Evaluation, Judged
from own.page import commands, heading, page, picture, picture_file, table, words
from own.panels import draw_finding
from own.survey import Look
from own.table import Table, code_text
from scoring.confusion import class_accuracy, class_iu, scores
from vis import color_seg, legend, make_palette, panel

BARELY = 1.5  # times the mean IU of answering one class everywhere: less is barely above it
_LONGEST = 300  # pixels of a picture's side in a row of three
_MOST_CLASSES_IN_MATRIX = 40


@dataclass(frozen=True)
class Checked:
    """What the checker has to say."""

    table: Table
    findings: Sequence[Finding]
    looks: Sequence[Look]  # that are used
    splits: Dict[str, List[str]]


def check_page(name: str, checked: Checked) -> str:
    """Give the page of the label checker alone."""
    return page(f"{name}: images and labels checked", [*_classes(checked), *_findings(checked)])


def report_page(name: str, facts: Sequence[Tuple[str, str]], checked: Checked, result: Evaluation,
                curves: Sequence[Tuple[str, Path]], lines: Sequence[str]) -> str:
    """Give the report.

    Args:
        name: of the net.
        facts: what was trained, of what, as (what, text).
        checked: findings and classes.
        result: of the validation.
        curves: (stage, PNG of its curve).
        lines: commands to copy.
    """
    parts = [words(verdict(result), "big"), *[words(str(one), one.level) for one in checked.findings
                                              if one.kind in ("few", "rare", "absent")],
             heading("Use it"), commands(lines),
             heading("What was trained"), table(("", ""), [list(fact) for fact in facts]),
             heading("How well each class is found"), _per_class(checked.table, result),
             heading("What is taken for what"), *_confusion(checked.table, result)]
    for what, judged in (("Best", result.best), ("Worst", result.worst)):
        parts += [heading(f"{what} validation images"), words("image, truth, prediction; white-grey is void", "note")]
        parts += [_judged(one, checked.table) for one in judged]
    parts.append(heading("Training"))
    parts += [picture_file(path, f"stage {stage}: loss and mean IU") for stage, path in curves]
    return page(f"{name}: a net from your own images", [*parts, *_classes(checked), *_findings(checked)])


def verdict(result: Evaluation) -> str:
    """Say in words how good the net is."""
    found, baseline = scores(result.hist), result.baseline
    if not np.isfinite(found["mean_iu"]):
        return "No validation pixel is labelled, so nothing is known about this net."
    text = (f"Mean IU {found['mean_iu']:.3f}, {found['overall_accuracy']:.1%} of the validation pixels right. "
            f"Answering the most frequent class everywhere would give {baseline:.3f}.")
    if found["mean_iu"] < BARELY * baseline:
        text += " That is barely better: the net has learned next to nothing yet. Train longer, or label more images."
    return text


def _per_class(classes: Table, result: Evaluation) -> str:
    hist = result.hist
    truth, total = hist.sum(1), max(1, hist.sum())
    rows = []
    for number, name in enumerate(classes.classes):
        rows.append([name, f"{truth[number] / total:.2%}", f"{hist[:, number].sum() / total:.2%}",
                     _number(class_accuracy(hist)[number]), _number(class_iu(hist)[number])])
    found = scores(hist)
    rows.append(["mean", "", "", _number(found["mean_accuracy"]), _number(found["mean_iu"])])
    colours = [*make_palette(256)[:len(classes.classes)], None]  # the mean has none
    return table(("class", "of truth", "of prediction", "accuracy", "IU"), rows, colours)


def _confusion(classes: Table, result: Evaluation) -> List[str]:
    """Shares of each true class, a row; dark is much."""
    names = classes.classes
    if len(names) > _MOST_CLASSES_IN_MATRIX:
        return [words(f"{len(names)} classes are too many for a table here; score.py writes the matrix as JSON")]
    shares = result.hist / np.maximum(1, result.hist.sum(1, keepdims=True))
    rows = [[name, *[f"{share:.0%}" if share >= 0.005 else "" for share in shares[number]]]
            for number, name in enumerate(names)]
    head = ("true \\ found", *(name if len(names) <= 12 else str(number) for number, name in enumerate(names)))
    return [words("Of the pixels of each class (row), the share that was called so (column).", "note"),
            table(head, rows, make_palette(256)[:len(names)], shares)]


def _judged(one: Judged, classes: Table) -> str:
    palette = make_palette(256)
    step = max(1, -(-max(one.truth.shape) // _LONGEST))
    truth, prediction = one.truth[::step, ::step], one.prediction[::step, ::step]
    seen = sorted(set(np.unique(truth).tolist()) | set(np.unique(prediction).tolist()))
    names = dict(enumerate(classes.classes))
    entries = [(number, names.get(number, "void")) for number in seen]
    pictures = [one.picture[::step, ::step], color_seg(truth, palette), color_seg(prediction, palette)]
    below = legend(entries, palette, 3 * truth.shape[1])
    return picture(panel(pictures, below), f"{one.id}: mean IU {one.mean_iu:.3f}")


def _classes(checked: Checked) -> List[str]:
    """Show the table: what in the labels is which class, and how much of it there is."""
    classes = checked.table
    sums = {split: _sum(checked, ids) for split, ids in checked.splits.items()}
    rows = []
    for row in classes.rows:
        shares = [f"{count[row.number] / max(1, count.sum()):.2%}" for count in sums.values()]
        number = "void" if row.number == 255 else str(row.number)
        rows.append([row.name, number, code_text(row.code, classes.form), *shares])
    head = ("name", "class", "value in the labels" if classes.form == "values" else "red green blue", *sums)
    return [heading("Classes"), table(head, rows, [make_palette(256)[row.number] for row in classes.rows])]


def _sum(checked: Checked, ids: Sequence[str]) -> np.ndarray:
    wanted = set(ids)
    counts = [class_counts(look, checked.table) for look in checked.looks if look.pair.id in wanted]
    return np.sum(counts, axis=0) if counts else np.zeros(256, np.int64)


def _findings(checked: Checked) -> List[str]:
    parts = [heading("What the label checker found")]
    if not checked.findings:
        parts.append(words("Nothing that looks wrong."))
    for finding in checked.findings:
        parts.append(words(str(finding), finding.level))
        drawn = draw_finding(finding, checked.table)
        if drawn is not None:
            parts.append(picture(drawn, exact=True))
    return parts


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"
