"""What several layer types share: parameters, axes, windows; no layer type of its own."""
