"""What a notebook uses: `samplers` to resample arrays and frames, `model` to predict with a trained model,
`runs` for comparisons as frames. All of it is to be had from `evenly` itself.
"""
