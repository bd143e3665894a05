"""Checks a program against every rule, in order."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from conductor_loop.porch import PorchFailed
from conductor_loop.porch_check.rules import FIRST, RULES, Rule
from conductor_loop.porch_check.subject import Broken, Subject


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one rule. ``kept`` is None if it was not checked; ``what`` says why not, or what happened."""

    rule: Rule
    kept: bool | None
    what: str = ""

    @property
    def line(self) -> str:
        """The finding, for people."""
        name = f"{self.rule.name:12}"
        if self.kept is None:
            return f"-       {name} {self.what}"
        if self.kept:
            return f"ok      {name} {self.rule.promise}"
        return f"BROKEN  {name} {self.what}. Rule: {self.rule.promise}. Next: {self.rule.next_step}."


def check(subject: Subject, only: Collection[str] = ()) -> Iterator[Finding]:
    """Check the rules, or only those of these names and those they rest on, and yield each finding at once."""
    broken: list[Rule] = []
    for rule in _wanted(only):
        obstacle = next((one.name for one in broken if one in FIRST or one.name == rule.rests_on), None)
        unchecked = Finding(rule, None, f"not checked while {obstacle!a} is broken")
        finding = unchecked if obstacle else _check(rule, subject)
        if finding.kept is False:
            broken.append(rule)
        yield finding


def _wanted(only: Collection[str]) -> list[Rule]:
    names = {*only, *(rule.rests_on for rule in RULES if rule.name in only)}
    return [rule for rule in RULES if not only or rule.name in names or rule in FIRST]


def _check(rule: Rule, subject: Subject) -> Finding:
    try:
        rule.check(subject)
    except Broken as broken:
        return Finding(rule, kept=False, what=str(broken))
    except PorchFailed as failed:
        return Finding(rule, kept=False, what=str(failed).rpartition("; ")[0] or str(failed))
    return Finding(rule, kept=True)
