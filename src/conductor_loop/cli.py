"""The command line: ``conductor-loop``."""

import json
import time

import click

from conductor_loop import __version__

_POLL_SECONDS = 0.5


@click.group()
@click.version_option(__version__, prog_name="conductor-loop")
def main() -> None:
    r"""Drop intents, see what became of them.

    \b
    Example:
      . .local/env                                        # made by `make up`
      aws s3 cp intent-a.json s3://$HANDOFF_BUCKET/
      conductor-loop status intent-a.json --wait 30
    """


@main.command()
@click.argument("name")
@click.option("--bucket", envvar="HANDOFF_BUCKET", required=True, help="Handoff bucket; HANDOFF_BUCKET by default.")
@click.option("--wait", type=float, default=0, show_default=True, help="Seconds to wait for the answer.")
@click.pass_context
def status(context: click.Context, name: str, bucket: str, wait: float) -> None:
    """Print the status object of the intent NAME, e.g. intent-a.json.

    Exit codes: 0 success or skipped, 1 failed or timeout, 2 usage, 3 no status yet.
    """
    from conductor_loop.aws import s3, sdk  # noqa: PLC0415 - most of the time that `--help` would take

    deadline = time.monotonic() + wait
    client = sdk.s3_client()
    while (document := s3.read_status(client, bucket, name)) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if document is None:
        click.echo(f"{name} has no status in {bucket} yet: is it there? wait for it with --wait 30", err=True)
        context.exit(3)
    click.echo(document, nl=False)
    context.exit(0 if json.loads(document)["status"] in {"success", "skipped"} else 1)
