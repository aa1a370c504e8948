"""The weights of a model's folder, under its old name. The code: python/caffe/tools/download_model_binary.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import startup  # noqa: E402 - found only now

if __name__ == "__main__":
    sys.exit(startup.tool("download_model_binary"))
