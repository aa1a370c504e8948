"""What OpenCV's dnn module does when it is its turn: forward passes of the same prototxt and caffemodel.

In:   a job of kind forward.
Out:  the parts of a pass, the last scores.
Not here: training, which OpenCV cannot. OpenCV 4: version 5 reads no Caffe nets any more.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np


class Forward:
    """Set the input and take the scores; a part an image."""

    def __init__(self, job: dict) -> None:
        cv2.setNumThreads(job["threads"])
        self.net = cv2.dnn.readNetFromCaffe(job["prototxt"], job["caffemodel"])
        self.score = None
        self.parts = [partial(self.one, np.load(path)) for path in job["images"]]

    def one(self, image: np.ndarray) -> None:
        """Run the net on one (N, 3, H, W) batch."""
        self.net.setInput(image)
        self.score = self.net.forward()

    def answer(self) -> np.ndarray:
        """Return the scores of the last image."""
        return self.score


work = Forward
