"""How each net is trained: recipes, the solver prototxts they make, and the solve loop."""


class SolveError(ValueError):
    """A training that cannot begin or go on; the message says what is missing and where it comes from."""
