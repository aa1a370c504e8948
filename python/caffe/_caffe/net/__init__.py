"""Nets: built from a NetParameter, run forwards and backwards, their weights.

Not here: what a layer computes (layers), solvers, plans of TEST nets (plan).
"""
