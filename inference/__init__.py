"""What infer.py is made of: reading photographs, estimating memory."""
