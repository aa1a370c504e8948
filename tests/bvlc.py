"""Run a script in genuine Caffe, where it is installed, and bring its arrays back.

In:   the text of a Python 3.9 script that reads `inp` and fills `out` (dicts of arrays).
Out:  `out`, as a dict of NumPy arrays.
Not here: what is compared; recorded numbers (tests/reference).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
BVLC_PYTHON = ROOT / ".venv-bvlc" / "bin" / "python"

_FRAME = """
import sys
import numpy as np
import caffe
inp = dict(np.load(sys.argv[1])) if sys.argv[1] else {{}}
out = {{}}
{body}
np.savez(sys.argv[2], **out)
"""


def run_bvlc(script: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Run `script` under genuine Caffe; skips the calling test where that is not installed.

    Args:
        script: Python 3.9 text; sees `np`, `caffe`, `inp` (the arrays given here) and fills `out`.
        **arrays: what the script finds in `inp`.

    Returns:
        The arrays that the script left in `out`.
    """
    if not BVLC_PYTHON.exists():
        pytest.skip("genuine Caffe is not installed (.venv-bvlc; make setup builds it where Python 3.9 is found)")
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "in.npz", Path(folder) / "out.npz"
        if arrays:
            np.savez(source, **arrays)
        program = _FRAME.format(body=textwrap.dedent(script))
        env = {"PATH": os.environ.get("PATH", ""), "GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1",
               "OPENBLAS_NUM_THREADS": "1", "HOME": os.environ.get("HOME", folder)}
        done = subprocess.run(
            [str(BVLC_PYTHON), "-c", program, str(source) if arrays else "", str(result)],
            cwd=folder, env=env, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise AssertionError(f"genuine Caffe stopped ({done.returncode}):\n{done.stderr[-4000:]}")
        with np.load(result) as loaded:
            return dict(loaded)
