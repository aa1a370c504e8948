"""Input: a blob that the user fills. Source: BVLC input_layer.cpp."""

from __future__ import annotations

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Input")
class InputLayer(Layer):
    """Tops of given shapes; their data is whatever the user wrote."""

    exact_num_bottom = 0
    min_num_top = 1

    def setup(self, bottom, top):
        """Shape the tops: one shape for all, one per top, or none yet."""
        shapes = self.layer_param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            self.fail(
                "Must specify 'shape' once, once per top blob, or not at all: "
                f"{len(top)} tops vs. {len(shapes)} shapes."
            )
        for i, blob in enumerate(top):
            if shapes:
                blob.reshape(*shapes[0 if len(shapes) == 1 else i].dim)

    def forward(self, bottom, top):
        """Leave the tops to the user."""

    def backward(self, top, propagate_down, bottom):
        """Do nothing: there is no bottom."""
