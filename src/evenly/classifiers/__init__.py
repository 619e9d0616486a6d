"""Classifiers: fitted on a sample table, give class probabilities for others, saved as folders."""

from __future__ import annotations

from evenly.classifiers.building import build_classifier, load_classifier
from evenly.classifiers.protocol import Classifier, FitSummary, Log

__all__ = ["Classifier", "FitSummary", "Log", "build_classifier", "load_classifier"]
