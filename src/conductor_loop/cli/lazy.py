"""A group whose commands are imported when they are called, so that help and completion start at once."""

from collections.abc import Mapping
from difflib import get_close_matches
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


class Group(click.Group):
    """Suggests a command for one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; say which are meant where there is none."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            found = get_close_matches(args[0], self.list_commands(ctx), n=1, cutoff=0.5) or self._within(ctx, args[0])
            meant = " or ".join(f"{ctx.command_path} {name}" for name in found)
            hint = f"did you mean {meant}?" if meant else f"see {ctx.command_path} --help"
            ctx.fail(f"there is no command {args[0]!a}; {hint}")
        return super().resolve_command(ctx, args)

    def _within(self, ctx: click.Context, name: str) -> list[str]:
        """Give the commands of that name in the groups of this one."""
        groups = {outer: self.get_command(ctx, outer) for outer in self.list_commands(ctx)}
        return [
            f"{outer} {name}" for outer, one in groups.items() if isinstance(one, click.Group) and name in one.commands
        ]


class LazyGroup(Group):
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
        """Run a command; one that is interrupted ends with 130, as a shell says it, and not as a failed intent."""
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
