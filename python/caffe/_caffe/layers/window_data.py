"""WindowData: batches of windows cut out of images, as R-CNN was trained. Source: BVLC window_data_layer.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import common, log, uploads
from ..data.data_transformer import DataTransformer
from ..data.datum import decode_image
from ..data.image_files import read_image, resize
from ..data.prefetching_layer import Batch, PrefetchingLayer
from ..data.windows import Window, WindowList, place, read_windows
from ..errors import CaffeError
from ..layer_factory import register_layer
from ..rng import RNG


class WindowReader:
    """Draws windows, background first; all that the prefetching thread uses.

    Args:
        windows: the list.
        param: WindowDataParameter.
        transformer: provides crop_size, mirror and mean.
        rng: draws windows and mirrors.
    """

    def __init__(self, windows: WindowList, param: Any, transformer: DataTransformer, rng: RNG) -> None:
        self._windows, self._param, self._transformer, self._rng = windows, param, transformer, rng
        # Caffe: the scale of transform_param is ignored. window_data_layer.cpp, load_batch
        self._scale = np.float32(param.scale)
        self._cache = [Path(self._path(i)).read_bytes() for i in range(len(windows.images))] \
            if param.cache_images else None

    def read(self) -> Batch:
        """Draw the next batch."""
        count, size = self._param.batch_size, self._transformer.crop_size
        data, labels = uploads.room((count, 3, size, size)).zero_(), torch.empty(count)
        places = data.numpy()
        foreground = int(np.float32(count) * np.float32(self._param.fg_fraction))
        for i in range(count):
            among = self._windows.background if i < count - foreground else self._windows.foreground
            window = among[self._rng.rand(len(among))]
            mirrored = self._transformer.mirror and bool(self._rng.rand(2))
            try:
                self._cut(window, mirrored, places[i])
            except CaffeError as problem:
                raise CaffeError(f"image {window.image}, {self._path(window.image)}: {problem}") from problem
            labels[i] = window.label
        return Batch(data, labels)

    def _cut(self, window: Window, mirrored: bool, out: np.ndarray) -> None:
        """Write one window into `out` (3, size, size), which is 0: what lies beyond the image stays 0."""
        image, param = self._image(window.image), self._param
        rows, columns = image.shape[1:]
        p = place(window, rows, columns, out.shape[1], param.context_pad, param.crop_mode == "square", mirrored)
        pixels = resize(image[:, p.y1:p.y2 + 1, p.x1:p.x2 + 1], p.height, p.width)
        inside = np.s_[:, p.top:p.top + p.height, p.left:p.left + p.width]
        mean = self._transformer.mean_of_windows(image.shape[0])
        if mean.shape[1:] != (1, 1):
            mean = mean[inside]
        np.subtract(pixels[..., ::-1] if mirrored else pixels, mean, out=out[inside], dtype=np.float32)
        out[inside] *= self._scale

    def _image(self, number: int) -> np.ndarray:
        return decode_image(self._cache[number], True) if self._cache else read_image(self._path(number))

    def _path(self, number: int) -> str:
        return self._param.root_folder + self._windows.images[number]


@register_layer("WindowData")
class WindowDataLayer(PrefetchingLayer):
    """Tops data (N, 3, crop_size, crop_size) and label (N), 0 for background windows, which come first.

    window_data_param.source is a window file (windows.read_windows); crop_size, mirror and the mean are in
    transform_param.
    """

    exact_num_top = 2

    def setup(self, bottom, top):
        """Read the windows, shape the tops, start reading ahead."""
        param = self.layer_param.window_data_param
        transformer = self.transformer()
        self._check(param, transformer)
        rng = RNG(common.rng().draw())
        windows = self._read(param)
        size = transformer.crop_size
        self.shape_tops(top, (param.batch_size, windows.channels, size, size))
        try:
            transformer.mean_of_windows(windows.channels)
            reader = WindowReader(windows, param, transformer, rng)
        except OSError as problem:
            # DEVIATION D36: Caffe logs a line and continues with what the batch holds so far.
            self.fail(f"Could not open or find file {problem.filename}: {problem.strerror}")
        except CaffeError as problem:
            self.fail(str(problem))
        log.info("output data size: " + ",".join(map(str, top[0].shape)), "window_data_layer.cpp:173")
        self.start(transformer, reader.read)

    def _check(self, param, transformer):
        self.require_positive("window_data_param", "batch_size")
        self.require_positive("data_param", "prefetch")
        if transformer.crop_size < 1:
            self.fail("transform_param.crop_size must be positive: every window is made that size; got 0")
        if 2 * param.context_pad >= transformer.crop_size:
            self.fail(f"context_pad {param.context_pad} on both sides leaves nothing of crop_size "
                      f"{transformer.crop_size}")
        if not 0 <= param.fg_fraction <= 1:
            self.fail(f"fg_fraction must lie between 0 and 1; got {param.fg_fraction:g}")
        if param.crop_mode not in ("warp", "square"):
            log.warning(f"layer '{self.name}': crop_mode '{param.crop_mode}' counts as 'warp', as in Caffe 1.0; the "
                        "other mode is 'square'", "window_data_layer.cpp:270")

    def _read(self, param) -> WindowList:
        try:
            windows = read_windows(param.source, param.fg_threshold, param.bg_threshold)
        except CaffeError as problem:
            self.fail(str(problem))
        if windows.channels != 3:
            # Caffe always reads three channels, and writes them beyond the end of a smaller blob.
            self.fail(f"window file {param.source} says {windows.channels} channels; images are read with 3")
        for kind, found, threshold in (("foreground", windows.foreground, param.fg_threshold),
                                       ("background", windows.background, param.bg_threshold)):
            if not found:
                self.fail(f"window file {param.source} has no {kind} window (threshold {threshold:g})")
        log.info(f"Number of images: {len(windows.images)}", "window_data_layer.cpp:140")
        return windows
