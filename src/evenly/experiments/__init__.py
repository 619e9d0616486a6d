"""Experiments with DVC: which ones there are to run, running them, and reading what finished ones have left.

In the order of use: `experiments` and `groups` say what to run, `sweeping` runs it, each run under a
`supervisor` and with a `lockfile` that is written stage by stage; `history` and `ledger` know what there is
and what it cost, `runs` reads one run back. What the numbers say is for `evenly.comparison`, `evenly.tuning`
and `evenly.curves`.
"""
