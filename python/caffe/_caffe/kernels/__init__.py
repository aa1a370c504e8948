"""Ways of computing that are faster than the plain one; none of them knows about Caffe's files, layers or nets.

Without this room every layer still computes the same, by torch's own kernels.
"""
