"""Publishing: a package's files, in a directory that no other attempt writes to.

A claim reserves the directory together with the target: its number grows with each attempt that may have published.
So what was decided is never touched again, however late a worker of another attempt writes.

    claim 4            claim 5 (the lease of 4 has run out)     decision: 5
      |--- lease ---|    |--- writes …-v1.0.5/ ---------------|    |
             writes …-v1.0.4/ ............ |                       | clean-up: …-v1.0.4/ goes
"""

import re

from conductor_loop import status
from conductor_loop.app import App
from conductor_loop.errors import Overtaken
from conductor_loop.lifecycle import Claim
from conductor_loop.porch import Package

_VERSION = re.compile(r"-v([0-9]+)\.([0-9]+)\.([0-9]+)$")


def publish(app: App, claim: Claim, package: Package) -> status.Published:
    """Upload the package.

    Raises:
        Overtaken: the lease has run out.
        NumberTaken: another attempt has written there.

    """
    if app.clock() >= claim.lease_until:
        raise Overtaken
    prefix = package_prefix(claim.target, claim.number)
    app.bucket.publish(claim, {prefix + path: body for path, body in package.files.items()})
    return status.Published(package.name, prefix, tuple(sorted(package.files)))


def package_prefix(target: str, number: int) -> str:
    """Give the prefix of one package of a target ``namespace/name``, whatever porch calls it."""
    return f"packages/{target}/{target.partition('/')[2]}-v1.0.{number}/"


def version_after(name: str, number: int) -> str | None:
    """Give the version of a package by its name, for the next one to count up from; ``None`` where it has none.

    It is not behind the number: so names and directories agree again after an attempt whose number came to nothing.
    """
    found = _VERSION.search(name)
    return f"v{found[1]}.{found[2]}.{max(int(found[3]), number)}" if found else None
