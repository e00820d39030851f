"""What is said about data that cannot be used."""

from collections.abc import Sequence


class DataError(ValueError):
    """Data that cannot be used; the message says where it is wrong and what to do."""


class GapError(DataError):
    """A row without a value; how many there are in all is known only to who holds all rows."""

    def __init__(self, place: str, column: str, advice: str) -> None:
        super().__init__(f"{place}. {advice}")
        self.place, self.column, self.advice = place, column, advice

    def counted(self, gaps: int, rows: int) -> DataError:
        """Say of how many rows it is true."""
        return DataError(f"{self.place} ({gaps} of {rows} rows). {self.advice}")


def listed(names: Sequence[object], most: int = 12) -> str:
    """Names in quotes; of many, the first ones and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def is_number(value: object) -> bool:
    """Whether it reads as a number."""
    try:
        float(str(value))
    except ValueError:
        return False
    return True
