"""Many intents at once: unrelated ones are not in one another's way."""

from collections import Counter

import pytest

from conductor_loop.storage.state import DynamoDBStateTable
from tests.contention import Contended, TransactionCanceled
from tests.writes import claims, ends, of

_INTENTS = 640


def test_decisions_of_unrelated_intents_do_not_run_out_of_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    client, given_up = Contended(), Counter[str]()
    monkeypatch.setattr("conductor_loop.storage.state.time.sleep", client.sleep)
    table = DynamoDBStateTable(client, "state", keep_seconds=3600, jitter=client.dice.random)  # type: ignore[arg-type]

    def decide(number: int) -> None:
        handoff = of(key=f"intent-{number}.json", version_id=f"v{number}")
        claim = claims(handoff, name=f"oran-sim/target-{number}")
        try:
            assert table.write(claim) is table.write(ends(claim)) is None
        except TransactionCanceled:
            given_up["decisions"] += 1

    client.run([lambda number=number: decide(number) for number in range(_INTENTS)])  # type: ignore[misc]
    assert given_up["decisions"] == 0, f"{client.writes} writes, {client.conflicts} conflicts, {given_up} given up"
