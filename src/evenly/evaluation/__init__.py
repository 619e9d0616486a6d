"""How good a model is: metrics with intervals, calibration, decision rules, plots, the report of a run."""
