"""The embedded data set: rendered scenes of eight classes of objects, made on this machine."""
