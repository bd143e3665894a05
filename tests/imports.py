"""What a module imports, and all that it rests on."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src/conductor_loop"


def imports(module: Path) -> set[str]:
    """Name every module that is imported, anywhere in the file, but for type checking only."""
    tree = ast.parse(module.read_text())
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in typing_only:
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing_only:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rests_on(name: str) -> set[Path]:
    """Give the files of our own modules that a module imports, and those that these do, with its own."""
    found: set[Path] = set()
    due = [name]
    while due:
        path = _file(due.pop())
        if path is not None and path not in found:
            found.add(path)
            due += imports(path)
    return found


def _file(name: str) -> Path | None:
    if not name.startswith("conductor_loop."):
        return None
    path = SOURCE / name.removeprefix("conductor_loop.").replace(".", "/")
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.exists()), None)
