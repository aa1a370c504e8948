"""Pieces of a self-contained HTML page: paragraphs, tables, pictures within the text.

In:   texts and arrays.
Out:  HTML; nothing in it points outside the page.
Not here: what a report says (report).   Source: ours.
"""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import Iterable, Optional, Sequence

import numpy as np
from PIL import Image

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: 1em 0; } td, th { padding: .2em .7em; text-align: right; }
th { border-bottom: 1px solid #888; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; height: auto; display: block; margin: .3em 0; }
code, pre { background: #f2f2f2; padding: .1em .3em; } pre { padding: .6em; overflow-x: auto; }
.error { color: #a40000; } .warning { color: #8a5200; } .note { color: #555; } .big { font-size: 1.3em; }
.swatch { display: inline-block; width: .9em; height: .9em; border: 1px solid #444; margin-right: .4em; }
figure { margin: 1em 0; } figcaption { color: #555; font-size: .9em; } .wide { overflow-x: auto; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Give a whole page."""
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<style>{_STYLE}</style></head><body>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(parts)
            + "\n</body></html>\n")


def heading(text: str) -> str:
    """Give a heading of a part."""
    return f"<h2>{html.escape(text)}</h2>"


def words(text: str, style: str = "") -> str:
    """Give a paragraph."""
    return f'<p class="{style}">{html.escape(text)}</p>'


def commands(lines: Sequence[str]) -> str:
    """Give lines to copy."""
    return f"<pre>{html.escape(chr(10).join(lines))}</pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]],
          colours: Optional[Sequence[Optional[Sequence[int]]]] = None, shades: Optional[np.ndarray] = None) -> str:
    """Give a table.

    Args:
        head: of the columns.
        rows: of texts.
        colours: RGB of a patch before the first cell of each row, or None for a row without, or for all.
        shades: (rows, columns less the first) in 0 ... 1, how dark each cell is, or None.
    """
    lines = []
    for number, row in enumerate(rows):
        patch = ""
        colour = None if colours is None else colours[number]
        if colour is not None:
            red, green, blue = (int(value) for value in colour)
            patch = f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'
        cells = [f"<td>{patch}{html.escape(row[0])}</td>"]
        for column, text in enumerate(row[1:]):
            style = f' style="background:rgba(30,110,200,{shades[number][column]:.2f})"' if shades is not None else ""
            cells.append(f"<td{style}>{html.escape(text)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    top = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    return f'<div class="wide"><table><tr>{top}</tr>{"".join(lines)}</table></div>'


def picture(array: np.ndarray, caption: str = "", exact: bool = False) -> str:
    """Give a picture, (H, W, 3) uint8 RGB; `exact` keeps every pixel (PNG), else it is a smaller JPEG."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG" if exact else "JPEG", **({} if exact else {"quality": 88}))
    return _figure(stream.getvalue(), "png" if exact else "jpeg", caption)


def picture_file(path: Path, caption: str = "") -> str:
    """Give a PNG file as a picture; where it is missing, say so."""
    if not path.is_file():
        return words(f"{path.name}: not there", "note")
    return _figure(path.read_bytes(), "png", caption)


def _figure(data: bytes, kind: str, caption: str) -> str:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{html.escape(caption, quote=True)}" src="{source}">{below}</figure>'
