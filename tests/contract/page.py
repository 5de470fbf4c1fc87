"""The contract's chapter of docs/protocol.md, sentence by sentence, and the requirements that are made of it."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_PAGE = (_HERE.parents[1] / "docs" / "protocol.md").read_text()
_CHAPTER = "The session contract"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*\[])")


@dataclass(frozen=True)
class Requirement:
    """A sentence of the page that promises something."""

    id: str
    section: str
    sentence: str


REQUIREMENTS = {
    name: Requirement(name, entry["section"], entry["sentence"])
    for name, entry in tomllib.loads((_HERE / "requirements.toml").read_text()).items()
}


def chapter() -> dict[str, str]:
    """The chapter's text by heading, its own included, without code and diagrams."""
    text = re.search(rf"^## {_CHAPTER}\n(.*?)(?=^## )", _PAGE, re.MULTILINE | re.DOTALL)
    assert text is not None, "the page has the chapter"
    prose = re.sub(r"^```.*?^```\n", "", text[1], flags=re.MULTILINE | re.DOTALL)
    first, *rest = re.split(r"^### ", prose, flags=re.MULTILINE)
    return {_CHAPTER: first, **{part.partition("\n")[0]: part.partition("\n")[2] for part in rest}}


def sentences(section: str) -> list[str]:
    """A section's sentences, and its tables' rows but for their heads, on one line each."""
    found = []
    for block in re.split(r"\n\s*\n", section.strip()):
        if block.startswith("|"):
            found += [" ".join(row.split()) for row in block.splitlines()[2:]]
        else:
            found += _SENTENCE_END.split(" ".join(block.split()))
    return [one for one in found if one]
