"""Write docs/commands.md from the commands themselves: run `.venv/bin/python -m dev.commands` after a change of one."""

import textwrap
from collections.abc import Iterator

import click

from conductor_loop.cli import main as program
from dev.stack import ROOT

PATH = ROOT / "docs/commands.md"
_HEADING = """# Commands

Written by `python -m dev.commands` from the commands themselves; `conductor-loop COMMAND --help` says the same. Tables
are aligned in a terminal; in a pipe they are lines with tabs between the columns and no heading, but for what `watch`
and `config show` print. `--output json` is for programs. There are no colours in a pipe, with `NO_COLOR` set, or on a
dumb terminal. What is asked for goes to standard output, everything said about it to standard error.

Install them by themselves, without this repository's environment, with `uv tool install --python 3.13 .`, or with
`pipx install .` where Python is 3.13 or newer. They need Python 3.13: uv fetches one where there is none, and pip
refuses an older one (`requires a different Python`).
"""


def document() -> str:
    """Give the text of docs/commands.md."""
    return "\n".join([_HEADING, *_toc(), *(part for path, command in leaves() for part in _section(path, command))])


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Give the program, its commands and theirs, each with what one types for it."""
    yield from _below("conductor-loop", program, click.Context(program, info_name="conductor-loop"))


def _below(path: str, command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _below(f"{path} {name}", inner, click.Context(inner, info_name=name, parent=context))


def help_of(path: str, command: click.Command) -> str:
    """Give the help of a command as it is printed in 100 columns."""
    context = click.Context(
        command, info_name=path, max_content_width=100, terminal_width=100, color=False, show_default=True
    )
    context.help_option_names = ["-h", "--help"]
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def _toc() -> Iterator[str]:
    yield "| command | what it does |\n|---|---|"
    for path, command in leaves():
        if path != "conductor-loop":
            yield f"| [`{path}`](#{path.replace(' ', '-')}) | {command.get_short_help_str(limit=200)} |"
    yield ""


def _section(path: str, command: click.Command) -> Iterator[str]:
    yield f"## {path}\n"
    yield f"```\n{textwrap.dedent(help_of(path, command))}\n```\n"


def main() -> None:
    """Write the document."""
    PATH.write_text(document())
    print(f"{PATH.relative_to(ROOT)}: {sum(1 for _ in leaves())} commands")


if __name__ == "__main__":
    main()
