"""evenly: which balancing technique helps on imbalanced classification data, by how much, at what cost.

Imports nothing: a stage with nothing to do must end within a fraction of a second.
"""

__version__ = "0.1.0"
