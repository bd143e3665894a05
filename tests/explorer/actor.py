"""One worker of a scene: it runs only when resumed, and stops before each adapter call."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greenlet import greenlet

from conductor_loop.app import App

if TYPE_CHECKING:
    from tests.explorer.play import Play

_READS = frozenset({"read", "find", "target", "published", "unsettled", "uncleaned", "older_versions", "next_number"})


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class AnswerLost(Exception):  # noqa: N818 - an answer, not an error
    """The call had its effect; its answer never arrived."""


class CallFailed(Exception):  # noqa: N818 - as above
    """The call was refused, and had no effect."""


type Task = Callable[[App], Callable[[], None]]  # what a worker does; the result acknowledges the delivery


@dataclass(frozen=True)
class Call:
    """An adapter call that a worker is about to make."""

    part: str
    name: str
    run: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.part}.{self.name}"


class Actor:
    """A delivery or a sweep. What it will do next follows from the answers it has seen, which ``seen`` digests."""

    def __init__(self, play: "Play", name: str, task: Task) -> None:
        self.name, self.play = name, play
        self.pending: Call | None = None
        self.started = self.ended = self.killed = self.broken = False
        self.seen = 0
        self.error: Exception | None = None
        self.package: dict[str, bytes] = {}
        self._task = task
        self._greenlet = greenlet(self._main)

    @property
    def live(self) -> bool:
        return not (self.ended or self.killed)

    @property
    def done(self) -> bool:
        """Whether nothing is left but the acknowledgement of the delivery."""
        return self.pending is not None and self.pending.part == "delivery"

    def faults(self) -> list[str]:
        """Say what may go wrong with the pending call: a kill before it is one after the call before it."""
        match self.pending:
            case Call("delivery"):
                return ["kill"]
            case Call("porch"):
                return ["kill", "lose"]
            case Call(name=name) if name in _READS:
                lost = []
            case _:
                lost = ["lose", "repeat"]
        return ["kill", *lost, *([] if self.broken else ["fail", "break"])]

    def go(self) -> None:
        """Make the pending call and run on to the next one; the first time, just run to the first call."""
        if not self.started:
            self.started = True
            self._resume(None, None)
            return
        answer, error = self._made()
        self._resume(answer, error)

    def lose(self) -> None:
        """Make the pending call, and lose its answer."""
        self._made()
        self._resume(None, AnswerLost())

    def repeat(self) -> None:
        """Make the pending call, lose its answer, and make it again, as the SDK does by itself."""
        self._made()
        self.go()

    def fail(self) -> None:
        """Have the pending call fail without an effect."""
        self._resume(None, CallFailed())

    def break_off(self) -> None:
        """Have the pending call and all that come after it fail: the service is down for this worker."""
        self.broken = True
        self.fail()

    def kill(self) -> None:
        """End it where it stands: what it does in its ``finally`` blocks has no effect."""
        self.killed = True
        with suppress(Killed):
            self._greenlet.throw(Killed())

    def call(self, call: Call) -> Any:
        """Stop before a call, and give its answer once resumed. Called on the worker's own stack."""
        if self.killed:
            raise Killed
        parent = self._greenlet.parent
        assert parent is not None
        answer, error = parent.switch(call)
        if error is not None:
            raise error
        return answer

    def _made(self) -> tuple[Any, Exception | None]:
        assert self.pending is not None
        if self.broken and self.pending.part not in {"porch", "delivery"}:
            return None, CallFailed()
        self.play.running = self
        try:
            return self.pending.run(), None
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - the worker's, not ours
            return None, error

    def _resume(self, answer: Any, error: Exception | None) -> None:
        self.seen = hash((self.seen, repr(answer), repr(error), self.play.now))
        self.pending = self._greenlet.switch((answer, error))
        self.ended = self.pending is None

    def _main(self, _: object) -> None:
        try:
            acknowledge = self._task(self.play.app(self))
            self.call(Call("delivery", "acknowledge", acknowledge))
        except Exception as error:  # noqa: BLE001 - the play judges it
            self.error = error


class Part:
    """A part of the app as one worker has it: each call is a point where the other worker may come between."""

    def __init__(self, actor: Actor, name: str, part: object) -> None:
        self._actor, self._name, self._part = actor, name, part

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._part, name)
        return lambda *given, **named: self._actor.call(Call(self._name, name, lambda: method(*given, **named)))
