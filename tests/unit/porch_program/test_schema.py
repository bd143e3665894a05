"""porch's own checks and the published schema agree on what an intent is."""

import json
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from porch.cli import main
from tests.unit.porch_program.support import ROOT, intent

SCHEMA = json.loads((ROOT / "schemas" / "intent.schema.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

# Near misses of every kind. At most 100 replicas: the schema's maximum is conductor-loop's to configure, so porch has
# its own. No trailing newline: the "$" of Python's regular expressions lets that pass.
NAMES = st.sampled_from([*SCHEMA["properties"], "unknown"])
WORDS = st.sampled_from(["user", "high", "scaling", "30s", "h", "1h", "5d", "a" * 253])
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, False, [], {}]),
    st.integers(max_value=100),
    st.floats(-1, 100),
    WORDS,
    st.text("ab0-_A.", max_size=70),
)


def accepts(fields: dict[str, Any]) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "intent-a.json"
        path.write_text(json.dumps(fields))
        code = main(["-intent", str(path), "-out", f"{directory}/out"])
    assert code in {0, 1}
    return code == 0


@settings(max_examples=150, deadline=None)
@given(changes=st.dictionaries(NAMES, VALUES, max_size=2), removed=st.none() | NAMES)
def test_porch_accepts_what_the_schema_accepts_and_nothing_else(changes: dict[str, Any], removed: str | None) -> None:
    fields = {name: value for name, value in (intent() | changes).items() if name != removed}
    assert accepts(fields) == VALIDATOR.is_valid(fields)
