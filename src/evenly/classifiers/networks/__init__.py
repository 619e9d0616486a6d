"""Networks in plain torch: `network` is what training asks of one, `modalities` has the two there are, and
`bodies` and `library_bodies` what turns images into features.
"""
