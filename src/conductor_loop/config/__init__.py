"""The configuration: defaults, template, document and environment → one frozen ``Config``."""

from conductor_loop.config.schema import InvalidConfig
from conductor_loop.config.typed import Config, Live, Stored, load
