"""What was measured, as files and for the eye: JSON, a plot, the record, the table on the screen and in the docs.

In:   results as dicts, the folder they lie in.
Out:  NAME.json and NAME.png there; a line in history.jsonl; the table between the markers of docs.
Not here: measuring (measure). All files are written whole.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.measures import MEASURES
from bench.peers import PEERS, ROOT, BenchError
from data.whole import write_text, write_whole

RESULTS = ROOT / "bench" / "results"
HISTORY = ROOT / "bench" / "history.jsonl"
DOCS = (ROOT / "docs" / "bench.md", ROOT / "README.md")
BEGIN, END = "<!-- bench: begin, written by make bench -->", "<!-- bench: end -->"
HEAD = ("what", *(peer.title for peer in PEERS.values()), "× genuine", "× OpenCV", "× eager", "spread", "memory GiB")


def write_json(result: dict, folder: Path) -> None:
    """Write a result under its own name."""
    write_text(folder / f"{result['name']}.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def folder_for(out: Path | None, partial: bool) -> Path:
    """Return the folder for results, made before anything is measured; what is partial does not replace the record."""
    found = out or (ROOT / "output" / "bench" if partial else RESULTS)
    found.mkdir(parents=True, exist_ok=True)
    return found


def runs(text: str) -> int:
    """Read a number of runs from the command line."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"got '{text}', want 1 or more")
    return int(text)


def write_result(result: dict, folder: Path) -> None:
    """Write one measure's JSON and plot."""
    write_json(result, folder)
    if any("sides" in row for row in result["rows"]):
        plot(result, folder / f"{result['name']}.png")


def read_results(folder: Path) -> list[dict]:
    """Return the results that lie in a folder, in the order of the table."""
    paths = [folder / f"{measure.name}.json" for measure in MEASURES]
    return [_read(path) for path in paths if path.exists()]


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise BenchError(f"{path}: no JSON ({error}); delete it, or measure again") from None


def add_history(results: list[dict], path: Path) -> None:
    """Add a line: when, where, what, and the middle figure of each side."""
    figures = {row["name"]: {"unit": row["unit"], **{column: round(side["median"], 5) for column, side in
                                                     row["sides"].items() if "median" in side}}
               for result in results for row in result["rows"] if "sides" in row}
    where = {key: results[0][key] for key in ("date", "machine", "commit", "rounds")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({**where, "figures": figures}, ensure_ascii=False) + "\n")


def value(side: dict, unit: str) -> str:
    """Return a side's middle figure, or a dash."""
    if "median" not in side:
        return "–"
    seconds = side["median"]
    return f"{seconds:.2f} {unit}" if unit != "s" or seconds >= 0.1 else f"{1e3 * seconds:.2f} ms"


def line(row: dict) -> list[str]:
    """Return the cells of one row."""
    if "sides" not in row:
        return [row["what"], row["left_out"], *[""] * (len(HEAD) - 2)]
    sides, ratios = row["sides"], row["ratios"]
    others = [column for column in PEERS if column != "ours"]
    spreads = [f"{ratios[column]['least']:.2f}–{ratios[column]['most']:.2f}" if column in ratios else "–"
               for column in others]
    if not ratios and "median" in sides["ours"]:
        spreads = [f"{sides['ours']['least']:.1f}–{sides['ours']['most']:.1f} {row['unit']}"]
    peaks = [f"{sides[column]['peak_gib']:.2f}" if "peak_gib" in sides.get(column, {}) else "–" for column in PEERS]
    return [row["what"], *(value(sides.get(column, {}), row["unit"]) for column in PEERS),
            *(f"{ratios[column]['median']:.2f}" if column in ratios else "–" for column in others),
            " / ".join(spreads), " / ".join(peaks)]


def left_out(results: list[dict]) -> list[str]:
    """Return a sentence for each side of a row that was not measured."""
    reasons: dict[str, list[str]] = {}
    for result in results:
        for row in result["rows"]:
            for side in row.get("sides", {}).values():
                if "left_out" in side:
                    reasons.setdefault(side["left_out"], []).append(row["name"])
    return [f"left out: {reason}: {', '.join(rows)}" for reason, rows in reasons.items()]


def table(results: list[dict]) -> str:
    """Return the table for the screen, with what was left out below."""
    rows = [HEAD, *(line(row) for result in results for row in result["rows"])]
    widths = [max(len(row[i]) for row in rows if i == 0 or row[2]) for i in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *left_out(results)])


def markdown(results: list[dict]) -> str:
    """Return the table for the docs, with where and when it was measured."""
    rows = [line(row) for result in results for row in result["rows"]]
    lines = [f"| {' | '.join(row)} |" for row in [HEAD, ["---"] * len(HEAD), *rows]]
    places: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if any("sides" in row for row in result["rows"]):
            places.setdefault((result["machine"], f"{result['date'][:10]}, commit {result['commit']}"),
                              []).append(result["name"])
    notes = [f"`python -m bench {' '.join(names)}`, {when}, on {where}" for (where, when), names in places.items()]
    notes += left_out(results)
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)])


def write_docs(results: list[dict], paths: tuple[Path, ...] = DOCS) -> None:
    """Put the table between the markers, in each file that has them."""
    for path in paths:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if BEGIN in text and END in text:
            before, rest = text.split(BEGIN, 1)
            write_text(path, f"{before}{BEGIN}\n{markdown(results)}\n{END}{rest.split(END, 1)[1]}")


def figure(width: float, height: float, columns: int = 1, rows: int = 1):
    """Return an empty figure that draws without a display, and its axes."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    return drawn, drawn.subplots(rows, columns)


def save(drawn, path: Path) -> None:
    """Write a figure as PNG."""
    write_whole(path, lambda file: drawn.savefig(file, format="png", dpi=120))


def plot(result: dict, path: Path) -> None:
    """Draw a bar for each side of each row, with the whole range of its runs."""
    bars = [(f"{row['what']}\n{PEERS[column].title}", side, column, row["unit"]) for row in result["rows"]
            if "sides" in row for column, side in row["sides"].items() if "median" in side]
    drawn, axes = figure(9, 0.6 + 0.45 * max(1, len(bars)))
    for i, (_, side, column, unit) in enumerate(bars):
        axes.barh(-i, side["median"], color=f"C{list(PEERS).index(column)}")
        axes.plot([side["least"], side["most"]], [-i, -i], color="black", linewidth=1)
        axes.text(side["most"], -i, f" {value(side, unit)}", va="center", fontsize=8)
    axes.set_yticks([-i for i in range(len(bars))], [bar[0] for bar in bars], fontsize=7)
    axes.set_xlabel(bars[0][3] if bars else "")
    axes.margins(x=0.15)
    axes.set_title(f"{result['title']}; {result['date']}, {result['machine']}", fontsize=8)
    save(drawn, path)
