"""Compares finished runs: what techniques differ in, whether by chance, and which one to take.

In the order of use: `techniques` gathers runs, `leaderboards` ranks and tests them (`statistics`) as
`findings`, `verdicts` and `recommendation` say it in words, `tables`, `plots` and `report` show it. `changes`
and `changes_report` hold two single revisions against each other, for a review.
"""
