"""DummyData: tops filled by fillers. Source: BVLC dummy_data_layer.cpp."""

from __future__ import annotations

from ..filler import FILLERS, fill
from ..layer import Layer
from ..layer_factory import register_layer

_LEGACY = ("num", "channels", "height", "width")


@register_layer("DummyData")
class DummyDataLayer(Layer):
    """Constant tops are filled once, at setup, the others again before every forward."""

    exact_num_bottom = 0
    min_num_top = 1

    def setup(self, bottom, top):
        """Shape all tops, fill the constant ones."""
        param = self.layer_param.dummy_data_param
        self._check_counts(param, len(top))
        fillers = list(param.data_filler) or [
            type(self.layer_param)().dummy_data_param.data_filler.add()
        ]
        self.fillers = fillers * len(top) if len(fillers) == 1 else fillers
        for i, blob in enumerate(top):
            blob.reshape(*self._shape(param, i))
            if self.fillers[i].type == "constant":
                fill(blob, self.fillers[i])

    def _check_counts(self, param, tops):
        if len(param.data_filler) not in (0, 1, tops):
            self.fail(
                f"Number of data fillers must be 0, 1 or equal to the number of tops: {tops}; "
                f"you specified {len(param.data_filler)} data fillers."
            )
        for filler in param.data_filler:  # most are drawn at forward only: refuse a wrong name now
            if filler.type not in FILLERS:
                self.fail(
                    f"Unknown filler name: {filler.type}; known are {', '.join(sorted(FILLERS))}"
                )
        self.legacy = any(getattr(param, name) for name in _LEGACY)
        if self.legacy and param.shape:
            self.fail("Both shape and legacy fields were specified")
        for name in _LEGACY if self.legacy else ("shape",):
            if len(getattr(param, name)) not in (1, tops):
                self.fail(
                    f"Must specify '{name}' once, or once per top blob ({tops}); "
                    f"specified {len(getattr(param, name))}."
                )

    def _shape(self, param, i):
        def pick(values):
            return values[0 if len(values) == 1 else i]

        if self.legacy:
            return [pick(getattr(param, name)) for name in _LEGACY]
        return pick(param.shape).dim

    def forward(self, bottom, top):
        """Draw the tops that are not constant again."""
        for blob, filler in zip(top, self.fillers, strict=True):
            if filler.type != "constant":
                fill(blob, filler)

    def backward(self, top, propagate_down, bottom):
        """Do nothing: there is no bottom."""
