"""Learning what to augment: a search over the settings of a recipe against a metric of the validation rows.

In the order of use: `space` says what may vary, `candidates` make a recipe of one choice, `defaults` say what
varies where nobody does, `studies` remember the trials and propose the next, `workbench` runs them as DVC
experiments, `search` is the loop, `gains` say how much better the best is, and `outputs` tell it.
"""
