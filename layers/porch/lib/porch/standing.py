"""How far a delivery got: what the answer says of it."""


class Standing:
    """A delivery's name, the fields that it adds to the JSON document, and notes for stderr: worth knowing, no failure.

    ``observed`` is how many pods there are (None: nobody looked), ``lines`` and ``fields`` are of the text and of JSON.
    """

    __slots__ = ("delivery", "fields", "lines", "notes", "observed")

    def __init__(self, delivery: str, observed: int | None = None, notes: tuple[str, ...] = ()) -> None:
        self.delivery = delivery
        self.observed = observed
        self.notes = notes
        self.lines = self.fields = ""
