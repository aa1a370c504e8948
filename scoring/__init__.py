"""What score.py is made of: counts and metrics, the net on another split, reports, comparing, upper bounds."""

DIRS = ("voc", "sbdd", "context", "nyud", "siftflow")  # keys of folders in param_str, less `_dir`
