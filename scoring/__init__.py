"""What score.py is made of: counts and metrics, the net on another split, the report."""
