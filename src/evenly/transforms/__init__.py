"""Label-preserving transforms of pixels: for rows to be stored and on the fly in training."""
