"""The command line: ``conductor-loop``."""

import os
from pathlib import Path

import click

from conductor_loop import __version__
from conductor_loop.cli.lazy import Entry, LazyGroup

COMMANDS = {  # in the order of their first use
    "validate": Entry("validator:main", "Say of each intent in FILES whether it will be accepted, and why not."),
    "plan": Entry("cli.plan:plan", "Say what the intent in FILE would change, and change nothing."),
    "submit": Entry("cli.submit:submit", "Validate the intents in FILES, send them, and follow them to the end."),
    "status": Entry("cli.intents:status", "Print the status of the intent NAME."),
    "list": Entry("cli.listing:listed", "List intents, newest first."),
    "watch": Entry("cli.watch:watch", "Watch the pipeline: its queues, outcomes, rates and latest intents."),
    "logs": Entry("cli.logs:logs", "Print what the functions have logged, of all intents or of the intent NAME."),
    "package": Entry("cli.packages:package", "Show or download the package of the intent NAME."),
    "diff": Entry("cli.packages:diff", "Compare the package of the intent NAME with its target's previous one."),
    "retry": Entry("cli.intents:retry", "Send the failed intent NAME again, as it is."),
    "undo": Entry("cli.undo:undo", "Put the target of the intent NAME back to the replicas that it had before."),
    "redrive": Entry("cli.intents:redrive", "Move the dead letters back to their queues, once their cause is fixed."),
    "audit": Entry("cli.audit:audit", "See who dropped what, what was decided, and whether that record is whole."),
    "config": Entry("cli.config:config", "See and change the configuration; a change needs no deploy."),
    "token": Entry("cli.tokens:token", "Make, list and revoke the tokens of the API."),
    "porch-check": Entry("cli.porch:porch_check", "Check that the program PATH keeps the contract of a porch."),
}


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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
