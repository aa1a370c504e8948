"""Caffe's command-line tools: each module is one of them, with a `main(argv)`.

Out:  what the console scripts and the files under Caffe's old names call. Nothing is imported from here itself.
Not here: nets, solvers, layers.
"""
