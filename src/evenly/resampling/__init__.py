"""Over- and under-sampling in feature space: the balanced training table is assembled and completed here.

The methods are those of imbalanced-learn, whose selections and segments the tests compare with. They are
written anew because its classes hide which rows a sample was made from, draw from one stream for all classes,
so that row order and other classes change a result, and stop or do nothing on small, separable or identical
rows.
"""
