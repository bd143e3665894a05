"""How far a delivery got, as the report says."""


class Outcome:
    """How far a delivery got. ``observed`` counts the pods (None: not counted); notes go to stderr."""

    __slots__ = ("delivery", "notes", "observed", "revision")

    def __init__(
        self,
        delivery: str,
        observed: int | None = None,
        notes: tuple[str, ...] = (),
        revision: dict[str, str] | None = None,
    ) -> None:
        self.delivery = delivery
        self.observed = observed
        self.notes = notes
        self.revision = revision  # namespace, name and lifecycle of a PackageRevision
