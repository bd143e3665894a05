"""The command line: ``conductor-loop``."""

from pathlib import Path

import click

from conductor_loop import __version__
from conductor_loop.cli.audit import audit
from conductor_loop.cli.config import config, validate
from conductor_loop.cli.intents import listed, redrive, retry, status
from conductor_loop.cli.logs import logs
from conductor_loop.cli.porch import porch_check
from conductor_loop.cli.tokens import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="conductor-loop")
@click.option("--config", "document", type=click.Path(path_type=Path), help="A configuration document to look at.")
@click.option("--validate-config", is_flag=True, help="Say whether the document of --config is good, and end.")
@click.option("--stack", help="With --validate-config: look at this stack, too.")
@click.pass_context
def main(context: click.Context, document: Path | None, stack: str | None, *, validate_config: bool) -> None:
    """See what became of intents, send them again, change the configuration, and check a porch of your own.

    \b
    Example, after `make up`:
      . .local/env
      aws s3 cp intent-a.json s3://$HANDOFF_BUCKET/
      conductor-loop status intent-a.json --wait 30

    Exit codes: 0 good, 1 the intent failed or a rule is broken, 2 wrong usage or nothing of that name, 3 no answer
    yet, 4 AWS refuses or does not answer.
    """  # noqa: D301 - click wants the control character
    if stack is not None and not validate_config:
        raise click.UsageError("--stack belongs behind the command, e.g. conductor-loop config show --stack NAME")
    if validate_config and context.invoked_subcommand is not None:
        raise click.UsageError("--validate-config is no option of a command: leave the command out")
    if (document is None) == validate_config:
        raise click.UsageError("--config=FILE and --validate-config go together")
    if document is not None and validate_config:
        context.exit(validate(document, stack))
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(2)


for command in (status, listed, logs, retry, redrive, audit, config, token, porch_check):
    main.add_command(command)
