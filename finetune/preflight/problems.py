"""What a check found wrong, in the order in which a run would meet it, with the exit code that the run would have."""

from dataclasses import dataclass, field

from finetune.errors import DataError, UserError


@dataclass
class Problems:
    """Errors that would end a run, and warnings that would not.

    Attributes:
        errors: as they would be raised.
        warnings: one text each.
    """

    errors: list[UserError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_first(self) -> None:
        """Ends as a run would.

        Raises:
            UserError: of the class of the first error, with all of them numbered.
        """
        if not self.errors:
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        told = "\n".join(f"{number}. {error}" for number, error in enumerate(self.errors, 1))
        raise type(self.errors[0])(f"{len(self.errors)} problems would end this run:\n{told}")


def bad_rows(count: int, shown: list[str]) -> DataError:
    """The error of rows that a run refuses, all at once."""
    more = f"\nand {count - len(shown)} more; the page of the check lists them." if count > len(shown) else ""
    return DataError(
        f"{count} rows cannot be used:\n" + "\n".join(shown) + more + "\nCorrect or remove them, or set aside all such "
        "rows with data.on_bad_row=quarantine."
    )
