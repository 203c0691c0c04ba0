"""Values by name, kept in memory while there is room."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Keeps what is made first; once the room is used up, the rest is made again each time.

    Args:
        room: bytes that everything kept may take.
        size: bytes of one value.
    """

    def __init__(self, room: int, size: Callable[[T], int]) -> None:
        """Starts empty."""
        self.room, self.size = room, size
        self._values: dict[str, T] = {}

    def __contains__(self, name: str) -> bool:
        """Whether a value is kept under a name."""
        return name in self._values

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The value of a name, made where it is not kept."""
        if name in self._values:
            return self._values[name]
        value = make()
        size = self.size(value)
        if size <= self.room:
            self.room -= size
            self._values[name] = value
        return value
