"""A key of the settings as data: what hints, documents, listings and error messages are made of."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: where it lives, its type with its range, its default and its description."""

    section: str
    name: str
    type: Any
    default: object
    help: str
    unit: str

    @property
    def dotted(self) -> str:
        """Its name, as `section.key`."""
        return f"{self.section}.{self.name}"

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return f"PARLEY_{self.section}_{self.name}".upper()

    @property
    def is_text(self) -> bool:
        """Whether its values are free text, or lists of it: they may hold a secret."""
        return self.is_list or (isinstance(self._kind, msgspec.inspect.StrType) and not self.is_identifier)

    @property
    def is_list(self) -> bool:
        """Whether its values are lists of text."""
        return isinstance(self._kind, msgspec.inspect.VarTupleType)

    @property
    def is_identifier(self) -> bool:
        """Whether its values are names after a pattern."""
        return getattr(self._kind, "pattern", None) is not None

    @property
    def expectation(self) -> str:
        """What a value has to be, as the end of the sentence "... must be"."""
        if get_origin(self.type) is Literal:
            return f"one of {', '.join(get_args(self.type))}"
        kind = self._kind
        if isinstance(kind, msgspec.inspect.VarTupleType):
            return f"a list of at most {kind.max_length} texts that are not empty"
        if isinstance(kind, msgspec.inspect.BoolType):
            return "true or false"
        if isinstance(kind, msgspec.inspect.IntType):
            return f"a whole number from {kind.ge} to {kind.le}"
        if isinstance(kind, msgspec.inspect.FloatType):
            lowest = f"above {kind.gt:g}" if kind.gt is not None else f"from {kind.ge:g}"
            return f"a number {lowest}, at most {kind.le:g}"
        if self.is_identifier:
            return f"{kind.min_length} to {kind.max_length} letters, digits and hyphens, with no hyphen at either end"  # type: ignore[attr-defined]
        return "text that is not empty" if getattr(kind, "min_length", None) else "text"

    @property
    def _kind(self) -> msgspec.inspect.Type:
        return msgspec.inspect.type_info(self.type)


def keys_of(section: str, cls: type) -> Iterator[Key]:
    """The keys of a section's class, in their order."""
    hints = get_type_hints(cls, include_extras=True)
    for one in fields(cls):
        yield Key(section, one.name, hints[one.name], one.default, one.metadata["help"], one.metadata["unit"])
