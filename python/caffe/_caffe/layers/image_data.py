"""ImageData: batches of image files that a list names. Source: BVLC image_data_layer.cpp."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import common, log
from ..data.data_transformer import DataTransformer
from ..data.image_files import read_image
from ..data.image_lists import read_list
from ..data.prefetching_layer import BatchReader, PrefetchingLayer
from ..errors import CaffeError
from ..layer_factory import register_layer
from ..rng import RNG


class ListReader(BatchReader):
    """Reads the images of a list, one after the other, again and again.

    Args:
        lines: (name, label) of each image; shuffled in place.
        param: ImageDataParameter.
        transformer: what each image goes through.
        shuffler: shuffles before each round, or None.
    """

    def __init__(self, lines: list[tuple[str, int]], param: Any, transformer: DataTransformer,
                 shuffler: RNG | None) -> None:
        super().__init__(transformer, param.batch_size)
        self._lines, self._shuffler, self._param, self._at = lines, shuffler, param, 0
        if shuffler:
            shuffler.shuffle(lines)

    def skip(self, count: int) -> None:
        """Start at the image with this number, which is less than the length of the list."""
        self._at = count

    def where(self) -> str:
        """Name the current image."""
        return f"Could not load {self._lines[self._at][0]}"

    def image(self) -> tuple[np.ndarray, int]:
        """Read the current image."""
        (name, label), param = self._lines[self._at], self._param
        return read_image(param.root_folder + name, param.is_color, param.new_height, param.new_width), label

    def advance(self) -> None:
        """Move to the next line."""
        self._at += 1
        if self._at >= len(self._lines):
            self._at = 0
            if self._shuffler:
                self._shuffler.shuffle(self._lines)


@register_layer("ImageData")
class ImageDataLayer(PrefetchingLayer):
    """Tops data (N, C, H, W) and label (N).

    image_data_param.source is a text file, each line an image's path, a blank, and a whole number.
    """

    exact_num_top = 2

    def setup(self, bottom, top):
        """Read the list, shape the tops by its first image, start reading ahead."""
        param = self.layer_param.image_data_param
        self.require_positive("image_data_param", "batch_size")
        self.require_positive("data_param", "prefetch")
        if (param.new_height > 0) != (param.new_width > 0):
            self.fail("Current implementation requires new_height and new_width to be set at the same time.; got "
                      f"new_height {param.new_height}, new_width {param.new_width}")
        transformer = self.transformer()
        lines = self._read_list(param.source)
        shuffler = None
        if param.shuffle:
            log.info("Shuffling data", "image_data_layer.cpp:50")
            shuffler = RNG(common.rng().draw())
        elif self.phase == common.TRAIN and common.solver_rank() > 0 and not param.rand_skip:
            log.warning("Shuffling or skipping recommended for multi-GPU", "image_data_layer.cpp:57")
        reader = ListReader(lines, param, transformer, shuffler)
        log.info(f"A total of {len(lines)} images.", "image_data_layer.cpp:60")
        if param.rand_skip:
            reader.skip(self._skipped(param.rand_skip, len(lines)))
        self.read_ahead(top, reader)

    def _read_list(self, source: str) -> list[tuple[str, int]]:
        log.info(f"Opening file {source}", "image_data_layer.cpp:36")
        try:
            return read_list(source)
        except CaffeError as problem:
            self.fail(str(problem))

    def _skipped(self, rand_skip: int, count: int) -> int:
        skip = common.rng().rand(rand_skip)
        log.info(f"Skipping first {skip} data points.", "image_data_layer.cpp:66")
        if skip >= count:
            self.fail(f"Not enough points to skip: rand_skip {rand_skip} drew {skip}, the list has {count} images")
        return skip
