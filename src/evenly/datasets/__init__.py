"""Where samples come from: built-in sets, files and folders, and how they are split.

`load.load_splits` is the way in. Every module does one step: `sources` finds files, `tabular` and `images`
read them, `rows` checks and types them, `partition`, `duplicates` and `longtail` decide which row goes where.
"""
