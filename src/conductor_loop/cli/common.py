"""What the commands share."""

import functools
from collections.abc import Callable

import click

NOT_YET, NO_AWS = 3, 4  # exit codes

stack_option = click.option(
    "--stack",
    envvar=["CONDUCTOR_STACK", "STACK_NAME"],
    default="conductor-loop",
    show_default=True,
    help="Stack's name.",
)
bucket_option = click.option("--bucket", envvar="HANDOFF_BUCKET", help="Handoff bucket; the stack's by default.")


def speaks_to_aws[**P, T](command: Callable[P, T]) -> Callable[P, T]:
    """Say in one line what AWS, or the way to it, refuses."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        from conductor_loop.aws import operator  # noqa: PLC0415 - most of the time that `--help` would take

        try:
            return command(*args, **kwargs)
        except operator.AWS_ERRORS as error:
            click.echo(f"AWS does not answer as it should: {error}", err=True)
            click.echo("Check the profile, region and endpoint; on a local stack: make up, then . .local/env", err=True)
            raise click.exceptions.Exit(NO_AWS) from None

    return wrapped
