"""Across experiments: sweeps that make them, and the comparison that says what they show.

`experiments` and `groups` say what to run, `sweeping` runs it and `ledger` remembers what it cost. `history`
and `runs` read finished runs back, `techniques` groups them, `statistics` and `classes` compare,
`leaderboards` puts the numbers together as `findings`, `verdicts` says them in words, and `tables`, `plots`,
`story` and `terminal` show them. Importing this package imports none of them.
"""
