"""Does a program keep the contract of a porch? ``docs/porch-contract.md`` states it, `RULES` hold it."""

from conductor_loop.porch_check.rules import RULES
from conductor_loop.porch_check.subject import INTENT, Subject
from conductor_loop.porch_check.suite import Finding, check

__all__ = ["INTENT", "RULES", "Finding", "Subject", "check"]
