"""A faster forward for TEST nets, with the same results: what a script cannot see is not computed.

reach.py    which part of a blob the image reaches, and where the rest is one constant
step.py     what a step of a program is asked; sliding.py, steps.py: the layers as steps
space.py    memory that is used again
program.py  the steps of a net, what each needs of the one before, and one run of them
graphs.py   programs as CUDA graphs
plan.py     when a net may run so, and what happens to the blobs that were left out
"""
