"""Convolutions with fewer products, by Winograd's minimal filtering, on the CPU.

cook_toom.py  the transforms
filtering.py  what all ways have in common: a block of rows after another
tiles.py      3 x 3;  strips.py  7 x 7: with weights that stay as they are, for plans
learning.py   3 x 3 with weights that change from pass to pass, and its gradients, for layers
"""
