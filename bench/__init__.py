"""Benchmarks, run by hand and by `make bench`: each prints what it measured, as ratios against a named
rival.
"""
