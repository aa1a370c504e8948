"""Weights of other frameworks, as Caffe's files; behind `python -m caffe.convert`.

Not here: the command itself (caffe.convert).
"""
