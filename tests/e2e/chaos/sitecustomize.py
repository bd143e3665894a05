"""Kills a deployed function at the call to AWS that an intent's name asks for, once for each name.

Python imports this file when it starts, because the end-to-end tests put its folder on the PYTHONPATH that the
functions of their embedded AWS inherit; so the product needs no hook for it. ``intent-kill-before-3.json`` dies before
its third call, ``intent-kill-after-3.json`` after the third answer. A function whose variable ``CHAOS_BUG``
names a call to AWS raises an unexpected exception at each such call.
"""

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

_NAME = re.compile(r"/(intent-kill-(before|after)-([0-9]+)[^/]*\.json)")


class _Killer:
    def __init__(self) -> None:
        self.name = self.when = ""
        self.number = self.calls = self.answers = 0

    def before(self, model: Any, params: Any, **_: Any) -> None:
        self._fail(model.name)
        if model.name == "GetObject":
            self._meet(params["url_path"])
        self.calls += 1
        self._maybe("before", self.calls)

    def _fail(self, call: str) -> None:
        if call == os.environ.get("CHAOS_BUG"):
            raise ZeroDivisionError("a secret of the code")

    def after(self, **_: Any) -> None:
        self.answers += 1
        self._maybe("after", self.answers)

    def _meet(self, path: str) -> None:
        found = _NAME.search(path)
        self.name, self.when, self.number = (found[1], found[2], int(found[3])) if found else ("", "", 0)
        self.calls = self.answers = 0

    def _maybe(self, when: str, count: int) -> None:
        if (self.when, self.number) != (when, count):
            return
        marker = Path(os.environ["CHAOS_MARKERS"], self.name)
        if not marker.exists():
            marker.touch()
            os._exit(137)


class _Finder:
    """Adds the killer to botocore's handlers as soon as the function's own botocore is imported."""

    def find_spec(self, name: str, *_: Any) -> Any:
        if name != "botocore.handlers" or "CHAOS_MARKERS" not in os.environ:
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_register(module: Any) -> None:
            run(module)
            killer = _Killer()
            module.BUILTIN_HANDLERS += [("before-call", killer.before), ("after-call", killer.after)]

        spec.loader.exec_module = run_and_register
        return spec


sys.meta_path.insert(0, _Finder())
