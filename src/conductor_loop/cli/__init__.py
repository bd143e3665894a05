"""The command line: ``conductor-loop``."""

import os
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import click

from conductor_loop import __version__

INTERRUPTED = 130  # an exit code
COMMANDS = {  # in the order of their first use: module:attribute, and the first sentence of the help
    "validate": ("validator:main", "Say of each intent in FILES whether it will be accepted, and why not."),
    "plan": ("cli.packages:plan", "Say what the intent in FILE would change, and change nothing."),
    "submit": ("cli.submit:submit", "Validate the intents in FILES, send them, and follow them to the end."),
    "status": ("cli.intents:status", "Print the status of the intent NAME."),
    "list": ("cli.intents:list_", "List intents, newest first."),
    "watch": ("cli.watch:watch", "Watch the pipeline: its queues, outcomes, rates and latest intents."),
    "logs": ("cli.logs:logs", "Print what the functions have logged, of all intents or of the intent NAME."),
    "package": ("cli.packages:package", "Show or download the package of the intent NAME."),
    "diff": ("cli.packages:diff", "Compare the package of the intent NAME with its target's previous one."),
    "retry": ("cli.intents:retry", "Send the failed intent NAME again, as it is."),
    "undo": ("cli.submit:undo", "Put the target of the intent NAME back to the replicas that it had before."),
    "redrive": ("cli.watch:redrive", "Move the dead letters back to their queues, once their cause is fixed."),
    "audit": ("cli.logs:audit", "See who dropped what, what was decided, and whether that record is whole."),
    "config": ("cli.config:config", "See and change the configuration; a change needs no deploy."),
    "token": ("cli.config:token", "Make, list and revoke the tokens of the API."),
    "porch-check": ("cli.porch:porch_check", "Check that the program PATH keeps the contract of a porch."),
}


class CommandGroup(click.Group):
    """Suggests a command for one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, fail and name those that may be meant, of inner groups too."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            found = get_close_matches(args[0], self.list_commands(ctx), n=1, cutoff=0.5)
            if not found:
                inner = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
                groups = [one for one in inner if isinstance(one, click.Group) and args[0] in one.commands]
                found = [f"{group.name} {args[0]}" for group in groups]
            meant = " or ".join(f"{ctx.command_path} {name}" for name in found)
            hint = f"did you mean {meant}?" if meant else f"see {ctx.command_path} --help"
            ctx.fail(f"there is no command {args[0]!a}; {hint}")
        return super().resolve_command(ctx, args)


class Program(CommandGroup):
    """Imports a command when it is called: help and completion would otherwise wait for the libraries of all."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Name the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; ``None`` where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(f"conductor_loop.{module}"), attribute)
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, and import none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an interrupted one ends with 130, as a shell says it, and not as a failed intent."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="conductor-loop")
@click.option("--config", "document", type=click.Path(path_type=Path), help="A configuration document to look at.")
@click.option("--validate-config", is_flag=True, help="Say whether the document of --config is good, and end.")
@click.option("--stack", help="With --validate-config: look at this stack, too.")
@click.pass_context
def main(context: click.Context, document: Path | None, stack: str | None, *, validate_config: bool) -> None:
    """Send intents, see what becomes of them, and run the pipeline that they go through.

    \b
    Examples, after `make up`:
      . .local/env
      conductor-loop submit examples/intents/intent-scale-up-001.json --wait
      conductor-loop package intent-scale-up-001.json
      conductor-loop watch

    The stack is the one of --stack, else of CONDUCTOR_STACK, else the local one of `make up` (.local/env here or in a
    folder above, where neither a profile, keys nor an endpoint is set), else conductor-loop. Profile, region, endpoint
    and credentials are those of the AWS command line, version 2: AWS_PROFILE, AWS_REGION before AWS_DEFAULT_REGION,
    AWS_ENDPOINT_URL, ~/.aws.

    Durations are written as 30s, 5m or 7d, or as plain seconds. States are shown as success and timeout; succeeded and
    timed_out are accepted as well.

    \b
    Exit codes:
      0  good
      1  an intent failed, or a rule is broken
      2  wrong usage, nothing of that name, or AWS cannot be reached as it is set up: correct the call
      3  no answer yet: call again
      4  AWS refuses, or does not answer
      130  interrupted

    \b
    Completion of commands, options and names of intents; put the line into the file that your shell reads first:
      bash  eval "$(_CONDUCTOR_LOOP_COMPLETE=bash_source conductor-loop)"
      zsh   eval "$(_CONDUCTOR_LOOP_COMPLETE=zsh_source conductor-loop)"
      fish  _CONDUCTOR_LOOP_COMPLETE=fish_source conductor-loop | source
    """  # noqa: D301 - click wants the control character
    if os.environ.get("NO_COLOR"):  # https://no-color.org; that of a pipe has none anyway
        context.color = False
    if stack is not None and not validate_config:
        raise click.UsageError("--stack belongs behind the command, e.g. conductor-loop config show --stack NAME")
    if validate_config and context.invoked_subcommand is not None:
        raise click.UsageError("--validate-config is no option of a command: leave the command out")
    if (document is None) == validate_config:
        raise click.UsageError("--config=FILE and --validate-config go together")
    if document is not None and validate_config:
        from conductor_loop.cli.config import validate  # noqa: PLC0415 - most of the time that `--help` would take

        context.exit(validate(document, stack))
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(2)
