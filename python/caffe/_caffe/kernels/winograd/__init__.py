"""Convolutions with fewer products, by Winograd's minimal filtering, on the CPU.

cook_toom.py  the transforms of one axis;  tilings.py  of a kernel in parts, both axes
rows.py       rows of a bottom read among zeros, rows of a top written
tiles.py      3 x 3 and 7 x 7, with weights that do not change, for plans
learning.py   3 x 3 with weights that change from pass to pass, and its gradients, for layers
"""
