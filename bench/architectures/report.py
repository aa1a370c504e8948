"""What was measured of architectures, as lines of text.

In:   rows of __main__.measure: milliseconds by use and side.
Out:  lines of a table; the ratios' sum, middle and worst.
Not here: measuring.
"""

from __future__ import annotations

import statistics

# title, use, side above the line, side below it
RATIOS = (("forward", "forward", "ours", "genuine"), ("by layer", "forward", "layers", "genuine"),
          ("train", "train", "ours", "genuine"), ("backward", "backward", "ours", "genuine"),
          ("build", "build", "ours", "genuine"))
COLUMNS = (("fwd", "forward", ("ours", "layers", "genuine")), ("fwd+bwd", "train", ("ours", "genuine")),
           ("bwd", "backward", ("ours", "genuine")), ("learned", "learned", ("ours",)),
           ("build", "build", ("ours", "genuine")))
SHORT = {"ours": "ours", "layers": "layer", "genuine": "genu"}


def ratio(row: dict, use: str, above: str, below: str) -> list[float]:
    """Return the ratio of two sides round by round; empty where one was not measured."""
    sides = row.get(use, {})
    return [a / b for a, b in zip(sides[above]["runs"], sides[below]["runs"])] if {above, below} <= set(sides) else []


def cells(row: dict) -> list[str]:
    """Return the cells of a row: milliseconds, then ratios with their spread."""
    found = [row["net"]]
    for _, use, sides in COLUMNS:
        found += [f"{row[use][side]['median']:.4g}" if side in row.get(use, {}) else "-" for side in sides]
    for _, *pair in RATIOS:
        values = ratio(row, *pair)
        found.append(f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "-")
    return found


def table(rows: list[dict], header: bool) -> str:
    """Return rows as lines, below a header where asked."""
    lines = []
    if header:
        row = rows[0]
        lines.append(f"\nmilliseconds ({row['clock']} clock), batch {row['batch']}, {row['threads']} thread(s); "
                     "then ours / genuine, middle (least-most) of the rounds; below 1 ours is faster")
        titles = ["net"] + [f"{title} {SHORT[side]}" for title, _, sides in COLUMNS for side in sides]
        lines.append(line(titles + [f"{title} ours/genu" for title, *_ in RATIOS]))
    lines += [line(cells(row)) for row in rows]
    lines += [f"  {row['net']}: {side} left out: {why}" for row in rows for side, why in row["left_out"].items()]
    return "\n".join(lines)


def line(texts: list[str]) -> str:
    """Return texts in columns."""
    numbers = sum(len(sides) for *_, sides in COLUMNS)
    widths = [16] + [13] * numbers + [19] * len(RATIOS)
    return " ".join(f"{text:<{width}}" if i == 0 else f"{text:>{width}}"
                    for i, (text, width) in enumerate(zip(texts, widths)))


def summary(rows: list[dict]) -> str:
    """Return for each ratio: of the sums, in the middle, at worst, and for how many nets ours is slower."""
    lines = []
    for title, use, above, below in RATIOS:
        measured = [row for row in rows if ratio(row, use, above, below)]
        if measured:
            sums = [sum(row[use][side]["median"] for row in measured) for side in (above, below)]
            middles = {row["net"]: statistics.median(ratio(row, use, above, below)) for row in measured}
            worst = max(middles, key=lambda net: middles[net])
            slower = sum(value > 1 for value in middles.values())
            lines.append(f"{title:>9}: sum {sums[0]:.4g} / {sums[1]:.4g} ms = {sums[0] / sums[1]:.2f}, middle "
                         f"{statistics.median(middles.values()):.2f}, worst {middles[worst]:.2f} ({worst}), "
                         f"slower than genuine: {slower} of {len(middles)}")
    return "\n".join(lines)
