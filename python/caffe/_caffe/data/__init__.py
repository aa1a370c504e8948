"""Data on its way into nets: databases, images, lists, transformations, reading ahead.

Not here: the data layers (layers).
"""
