"""Solvers: the update rules, learning rates, test nets, snapshots, processes that train together.

Not here: gradients (layers), files (files).
"""
