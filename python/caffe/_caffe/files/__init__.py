"""Caffe's files: the schema, prototxts of every age, caffemodels, solver states, HDF5.

Not here: nets built from them (net), data sets (data).
"""
