# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings of one model server of several: where it is, and what part of the work it takes."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from parley.server.addresses import model_server_problem
from parley.server.settings.types import CountOrAuto, Name, Names, setting

MemberWeight = Annotated[float, Meta(gt=0, le=1_000)]

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[^=]{0,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamEntry:
    """One of several model servers behind this node, where they are not alike; `upstream.urls` is for those that are.

    What an entry leaves out is as [upstream] says. A list of tables comes from the file alone: there are no options and
    no environment variables for it.
    """

    url: Name = setting("", "Its WebSocket URL, ws:// or wss://, or sagemaker://NAME for an endpoint. Needed.")
    name: str = setting("", "What the operator calls it. Empty: its host and port.")
    weight: MemberWeight = setting(1.0, "Its share of the streams, against the weights of the others.")
    labels: Names = setting((), 'What people know about it, each as "key=value"; parley upstreams shows them.')
    model: str = setting("", "Name of its model. Empty: upstream.model, or the first one that it lists.")
    api_key_file: str = setting(
        "", "File that holds the key sent to it as a bearer token. Empty: upstream.api_key_file."
    )
    max_sessions: CountOrAuto = setting(
        0, "Streams to have open on it, at most vLLM's --max-num-seqs. 0: upstream.max_sessions."
    )


def upstream_problems(entry: UpstreamEntry) -> Iterator[str]:
    """What is wrong with an entry although each value is of its type."""
    if message := model_server_problem(entry.url):
        yield f"url {message}"
    keys: list[str] = []
    for number, label in enumerate(entry.labels, 1):
        if not _LABEL.fullmatch(label):
            yield f'labels: entry {number} must be written "key=value"'
        else:
            keys.append(label.partition("=")[0])
    if len(set(keys)) < len(keys):
        yield "labels: a key must not come twice"


def upstreams_problems(entries: Sequence[UpstreamEntry]) -> Iterator[str]:
    """What is wrong with entries beside each other."""
    if max(Counter(entry.url for entry in entries).values(), default=0) > 1:
        yield "upstreams must not name a server twice"
    names = Counter(entry.name for entry in entries if entry.name)
    for name, count in names.items():
        if count > 1:
            yield f"upstreams name {name} {count} times; give each server a name of its own"


def labels_of(entry: UpstreamEntry) -> tuple[tuple[str, str], ...]:
    """Its labels as pairs."""
    return tuple((key, value) for key, _, value in (label.partition("=") for label in entry.labels))
