#!/usr/bin/env bash
# Makes .venv-opencv, with which `make bench` measures OpenCV's dnn module, too. Nothing else of the project needs it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || { echo "setup_opencv: no .venv; run make setup first" >&2; exit 2; }
"$python" -m venv .venv-opencv
.venv-opencv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements-opencv.txt
.venv-opencv/bin/python -c "import cv2; print('OpenCV', cv2.__version__)"
