"""Turns intents dropped into an S3 bucket into KRM packages, once each, with an answer for every one."""

__version__ = "0.1.0"
