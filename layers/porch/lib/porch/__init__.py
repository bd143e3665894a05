"""Turns one scaling intent into one KRM package.

A program of its own: it shares no import with conductor_loop, only argv, environment, files and exit codes, so that a
site can put its own porch in its place.
"""

__version__ = "1.0.0"
