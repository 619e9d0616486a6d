"""The training of networks, in the order of use: `fitting` trains one as a plan asks, `loop` goes through the
epochs, `sampling` draws their rows, `steps` computes a step, `losses` what it minimises, `schedule` says how
fast which layers learn and until when, and `checkpoints` keeps what survives a kill.
"""
