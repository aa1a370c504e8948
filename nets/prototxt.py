"""Messages to prototxt files and back; the only place in nets/ and solvers/ that touches prototxts.

In:   a protobuf message (NetParameter, SolverParameter) and a path.
Out:  its text on disk, whole or not at all.
Not here: what the messages say.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, Union

from google.protobuf import text_format

from nets import NetError

PathLike = Union[str, "os.PathLike[str]"]


def write_prototxt(message: Any, path: PathLike) -> None:
    """Write a message as text, by way of a temporary file beside it, making the folder if need be."""
    # str(message) as the release did it: text_format.MessageToString would print 1 as 1.0.
    write_text(str(message), path)


def write_text(text: str, path: PathLike) -> None:
    """Write text in UTF-8 to `path`, by way of a temporary file beside it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write_whole(text, target)
    except OSError as error:
        if error.errno:
            error.filename = str(target)  # not the temporary name
        raise


def _write_whole(text: str, target: Path) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=str(target.parent))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def read_prototxt(path: PathLike, message: Any) -> Any:
    """Read text into `message` (an empty one) and give it back.

    Raises:
        NetError: no such file, or the text is not of this message; says the line.
    """
    remedy = "correct it, or write the zoo's again with `python -m nets`"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise NetError(f"prototxt '{path}': cannot be read ({error.strerror}); {remedy}") from error
    except UnicodeDecodeError as error:
        raise NetError(f"prototxt '{path}': got a file that is not text, want a {message.DESCRIPTOR.name}; "
                       f"{remedy}") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        what = re.sub(r"^\d+:\d+ : ", "", str(error))
        line = f", line {error.GetLine()}" if error.GetLine() else ""
        raise NetError(f"prototxt '{path}'{line}: not a {message.DESCRIPTOR.name}: {what} {remedy}") from error


def is_fresh(message: Any, path: PathLike) -> bool:
    """Tell whether the file says what the message says, however it is laid out."""
    try:
        return bool(read_prototxt(path, type(message)()) == message)
    except NetError:
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
