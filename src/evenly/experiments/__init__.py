"""Experiments with DVC: which ones there are to run, running them, and reading what finished ones have left.

What their numbers say is for `evenly.comparison`, `evenly.tuning` and `evenly.curves`.
"""
