"""Where samples come from: built-in sets, files and folders, and how they are split.

`load.load_splits` is the way in. In the order of use: `reading` takes an entry's rows from `builtin`, or
finds files (`sources`) and reads them (`tabular`, `images`); `rows` checks and types them, `identity` finds
copies, `partition` decides which row goes where. Beside it, `intake` brings data into the project, and
`unlabelled` with `conforming` reads rows for a trained model.
"""
