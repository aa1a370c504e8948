"""Images to squares, under its old name. The code: python/caffe/tools/resize_and_crop_images.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import startup  # noqa: E402 - found only now

if __name__ == "__main__":
    sys.exit(startup.tool("resize_and_crop_images"))
