"""A group whose commands are imported when they are called, so that help and completion start at once."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

INTERRUPTED = 130  # an exit code


class Entry(NamedTuple):
    """A command: where it is, and the first sentence of its help, which is shown without importing it."""

    place: str  # module of ours:attribute
    summary: str

    def load(self) -> click.Command:
        """Import it."""
        module, _, attribute = self.place.partition(":")
        command: click.Command = getattr(import_module(f"conductor_loop.{module}"), attribute)
        return command


class LazyGroup(click.Group):
    """Knows its commands by name only.

    Args:
        entries: The commands by name, in the order of the help.
        options: What click takes.

    """

    def __init__(self, entries: Mapping[str, Entry], **options: Any) -> None:  # noqa: ANN401 - of any click option
        super().__init__(**options)
        self.entries = entries

    def list_commands(self, _: click.Context) -> list[str]:
        """Name the commands, in the order of the help."""
        return list(self.entries)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; one that somebody interrupts ends with 130, as a shell says it, and not as a failed intent."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; ``None`` where there is none of that name."""
        return self.entries[cmd_name].load() if cmd_name in self.entries else None

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from what is known without them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])
