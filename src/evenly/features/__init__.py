"""Samples to vectors: fitted on training rows, saved without pickle, used wherever work is done there."""

from evenly.features.featurizer import Featurizer, fit_featurizer, load_featurizer

__all__ = ["Featurizer", "fit_featurizer", "load_featurizer"]
