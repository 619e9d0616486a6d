"""Which techniques to try first on a data set, why, and at what cost: read from what the data are like.

What runs have shown is told by `evenly.comparison`; its recommendation after a sweep lives there too.
"""
