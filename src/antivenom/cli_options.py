"""Options that several verbs share."""

from dataclasses import asdict, dataclass
from typing import Any

from cyclopts import Group, Parameter

__all__ = ["AS_FOUND", "READING", "Reading"]

READING = Group("Reading the corpus")


@Parameter(name="*", group=READING)
@dataclass(frozen=True)
class Reading:
    """How rows are read.

    Parameters
    ----------
    text_field:
        The column or key that holds the text (found by itself when it has a usual name).
    id_field:
        A column with ids; without it a row's id is the hash of its text.
    format:
        Read as this format, whatever the file is called.
    limit:
        Read only the first N rows.
    """

    text_field: str | None = None
    id_field: str | None = None
    format: str | None = None
    limit: int | None = None

    def given(self) -> dict[str, Any]:
        """Those that were given, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


AS_FOUND = Reading()
