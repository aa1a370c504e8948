"""Seconds of a log's iterations, under its old name. The code: python/caffe/tools/extract_seconds.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import startup  # noqa: E402 - found only now

if __name__ == "__main__":
    sys.exit(startup.tool("extract_seconds"))
