"""Two results side by side: the four scores and every class, with their differences.

In:   two results of score.py, as JSON files or as names of nets in results/.
Out:  a table; the classes that changed most come first.
Not here: scoring (score.py), writing results (report.py).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from nets import NetError
from scoring.confusion import SCORES, WAYS


def compare(a: str, b: str) -> str:
    """Compare two results.

    Args:
        a: JSON file, or the name of a net whose result lies in results/.
        b: likewise; differences are b - a.

    Returns:
        The table as text.

    Raises:
        NetError: a result that is missing or broken, or results of other splits, images or classes.
    """
    before, after = load_result(a), load_result(b)
    _check_same(before, after)
    lines = [f"A  {_origin(before)}", f"B  {_origin(after)}", f"split {before['split']}, {before['images']} images"]
    for one, other in zip(_heads(before), _heads(after)):
        if "other_heads" in before:
            lines += ["", f"head {one['head']}"]
        lines += ["", *_table(_score_rows(one, other))]
        lines += ["", "IU of each class, the largest change first", *_table(_class_rows(one, other))]
    return "\n".join(lines)


def load_result(name: str) -> dict[str, Any]:
    """Read a result of score.py, given as a file or as the name of a net in results/.

    Raises:
        NetError: not there (lists those that are), no JSON, or no result.
    """
    path = Path(name) if name.endswith(".json") else Path("results", f"{name}.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        there = ", ".join(sorted(other.stem for other in Path("results").glob("*.json"))) or "none"
        raise NetError(f"result '{path}': {error.strerror}; results here: {there}; `python score.py --net NAME` "
                       "makes one") from error
    except ValueError as error:
        raise NetError(f"result '{path}': not JSON ({error}); score again to make it new") from error
    _check_result(found, path)
    return found


def _check_result(found: Any, path: Path) -> None:
    whole = isinstance(found, dict) and {"net", "split", "images"} <= set(found)
    rows = _heads(found) if whole else []
    if not whole or not all(_is_figures(row) for row in rows):
        raise NetError(f"result '{path}': not a result of score.py; want net, split, images, "
                       f"{', '.join(SCORES)} and class_iu; score again to make it new")


def _is_figures(row: Any) -> bool:
    return (isinstance(row, dict) and all(_is_score(row.get(key, "")) for key in SCORES)
            and isinstance(row.get("class_iu"), dict) and all(map(_is_score, row["class_iu"].values())))


def _is_score(value: Any) -> bool:
    return value is None or isinstance(value, (int, float))


def _heads(result: dict[str, Any]) -> list[dict[str, Any]]:
    others = result.get("other_heads", [])
    return [result, *others] if isinstance(others, list) else [{}]


def _check_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse results whose difference would mean nothing."""
    for key in ("split", "images"):
        if before[key] != after[key]:
            raise NetError(f"compare: {key} {before[key]} in '{before['net']}', {after[key]} in '{after['net']}'; want "
                           "the same images in both; score one again with --split")
    one, other = ([list(head["class_iu"]) for head in _heads(result)] for result in (before, after))
    if one != other:
        said = [" + ".join(str(len(names)) for names in heads) for heads in (one, other)]
        strange = sorted(set(sum(one, [])) ^ set(sum(other, [])))
        raise NetError(f"compare: '{before['net']}' has {said[0]} classes, '{after['net']}' {said[1]}"
                       + (f"; only one of them knows {', '.join(strange[:6])}" if strange else "")
                       + "; want the same names in the same order")


def _origin(result: dict[str, Any]) -> str:
    parts = [f"net {result['net']}", result.get("weights"), f"sha256 {str(result.get('weights_sha256'))[:12]}",
             f"code {result.get('git')}", result.get("date"), f"{result['mask']} masked" if "mask" in result else None]
    return ", ".join(str(part) for part in parts if part)


def _score_rows(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    rows = [(name, one[key], other[key]) for key, name in SCORES.items()]
    for way, what in WAYS.items():
        if way in one and way in other:
            rows.append((f"mean IU, {what}", one[way]["mean_iu"], other[way]["mean_iu"]))
    for width in one.get("boundary", {}):
        if width in other.get("boundary", {}):
            rows.append((f"mean IU, boundary {width} px", one["boundary"][width]["mean_iu"],
                         other["boundary"][width]["mean_iu"]))
    return rows


def _class_rows(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    rows = [(name, value, other["class_iu"][name]) for name, value in one["class_iu"].items()]
    return sorted(rows, key=lambda row: math.inf if None in row else -abs(row[2] - row[1]))


def _table(rows: list[tuple[str, Any, Any]]) -> list[str]:
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{'':<{width}}       A       B    B - A"]
    for name, one, other in rows:
        change = "-" if None in (one, other) else f"{other - one:+.4f}"
        lines.append(f"{name:<{width}}  {_number(one):>6}  {_number(other):>6}  {change:>7}")
    return lines


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}"
