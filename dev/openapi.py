"""Write docs/openapi.json: run `.venv/bin/python -m dev.openapi` after a change of schemas/."""

import json

from conductor_loop.api import routes
from dev.stack import ROOT


def main() -> None:
    """Write the document."""
    path = ROOT / "docs/openapi.json"
    path.write_text(json.dumps(routes.document(), indent=2, ensure_ascii=False) + "\n")
    print(f"{path.relative_to(ROOT)}: {len(routes.document()['paths'])} paths")


if __name__ == "__main__":
    main()
