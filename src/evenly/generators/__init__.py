"""Generators trained on training rows: GANs and VAEs for images and tables, a language model for texts."""
