"""Curves over synthetic volume: what classifiers learn from the training rows and k more of some kind.

One split, the feature vectors of the pipeline, and its classifiers on vectors; whole runs over many splits
are compared in `evenly.comparison`.
"""
