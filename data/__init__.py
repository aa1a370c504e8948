"""Data sets: their classes, splits and places, what must be there and where it comes from."""
