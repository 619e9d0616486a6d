"""Test rows made worse on purpose, in three strengths: typing noise, common image corruptions, missing
values.

They are for judging models and never for training them. A row's damage comes from the seed and its id alone,
and a higher strength carries the same damage further.
"""

from evenly.evaluation.corruptions.corrupt import (
    CLEAN,
    STRENGTHS,
    corrupted,
    corruption_names,
    strength_label,
)

__all__ = ["CLEAN", "STRENGTHS", "corrupted", "corruption_names", "strength_label"]
