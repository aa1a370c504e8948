"""Parameters between nets: the released `surgery` module's names, each with checked counts."""

from surgery.identity import identity_plus, layers_keeping_width
from surgery.interp import interp, upsample_filt
from surgery.report import Report, SurgeryError
from surgery.transplant import expand_score, transplant
from surgery.widen import widen

__all__ = ["Report", "SurgeryError", "expand_score", "identity_plus", "interp",
           "layers_keeping_width", "transplant", "upsample_filt", "widen"]
