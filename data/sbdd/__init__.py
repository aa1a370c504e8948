"""SBD: its labels as pictures."""
