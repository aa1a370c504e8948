"""A faster forward for TEST nets, with the same results: what a script cannot see is not computed.

plan.py       when a net may run this way, and what happens to the blobs that were left out
trace.py      a pass as values: every write to a blob makes a new value
fuse.py       which operations are needed, and which run together;  kinds.py  the step of each kind of operation
step.py       the interface of a step;  sliding.py, pointwise.py, steps.py, by_layer.py  the steps
packing.py    the weights of a convolution, folded and ordered for its kernel
program.py    the steps that compute some values, and a run of them;  space.py  memory that is reused
reach.py      which part of a blob the image reaches, and where the rest is one constant
weights.py    which weights have changed since the last pass
graphs.py     programs as CUDA graphs
"""
