"""An HTTP media type: `type/subtype;name=value`, RFC 9110 section 8.3.1."""

from collections.abc import Mapping
from dataclasses import dataclass

from parley.core.errors import ParleyError

_NUMBER_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class MediaType:
    """`essence` is type and subtype in lower case, or empty; the parameters' names are in lower case as well."""

    essence: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, value: str) -> "MediaType":
        """The media type that a Content-Type header names.

        Raises:
            ParleyError: unsupported-media, when a parameter has no value.
        """
        essence, *rest = value.split(";")
        parameters: dict[str, str] = {}
        for part in filter(None, map(str.strip, rest)):
            name, equals, text = part.partition("=")
            if not equals:
                raise ParleyError("unsupported-media", "A parameter of the content type has no value.")
            parameters[name.strip().lower()] = text.strip().strip('"')
        return cls(essence.strip().lower(), parameters)

    def number(self, name: str, default: int) -> int:
        """A parameter as a whole number.

        Raises:
            ParleyError: unsupported-media, when it is something else.
        """
        text = self.parameters.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_MAX_DIGITS):
            raise ParleyError("unsupported-media", f"`{name}` of the content type is not a number.")
        return int(text)
