"""A net as a picture, under its old name. The code: python/caffe/tools/draw_net.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import startup  # noqa: E402 - found only now

if __name__ == "__main__":
    sys.exit(startup.tool("draw_net"))
