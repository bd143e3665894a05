"""How the answer tells what a cluster had to do with the package."""


class Standing:
    """Lines of the text, fields of the JSON document, and notes for stderr: worth knowing, no failure."""

    __slots__ = ("fields", "lines", "notes")

    def __init__(self, lines: str, fields: str, notes: tuple[str, ...] = ()) -> None:
        self.lines = lines
        self.fields = fields
        self.notes = notes


OFFLINE = Standing("Cluster: offline, nothing was checked\n", '"cluster": "offline"')
