"""Turns intents dropped into an S3 bucket into KRM packages, once each, with an answer for every one."""

import gc

__version__ = "0.1.0"

# Objects; of 2,000, the default. What imports create stays: to collect it meanwhile is an eighth of a cold start.
gc.set_threshold(400_000)
