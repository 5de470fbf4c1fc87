"""What is wrong with endpoints of the settings although each value is of its type."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from parley.server.addresses import container_problem, realtime_problem, sagemaker_problem
from parley.server.settings.endpoint import TAKES, EndpointKind, EndpointSettings


def entry_problems(endpoint: EndpointSettings) -> Iterator[str]:
    """What is wrong with an entry although each value is of its type: what its kind needs, takes, or can't use."""
    kind = endpoint.kind
    for key in ("urls", "model", "api_key_file", "max_sessions"):
        if getattr(endpoint, key) and key not in TAKES[kind]:
            meant = " (did you mean kind vllm?)" if kind == "parley" and key == "urls" else ""
            yield f"{key}: kind {kind} takes none{meant}"
    if kind == "parley":
        return
    if not endpoint.urls:
        yield f"urls: kind {kind} needs at least one"
    if len(set(endpoint.urls)) < len(endpoint.urls):
        yield "urls: a server must not be named twice"
    for place, url in enumerate(endpoint.urls, 1):
        if message := _url_problem(kind, url):
            yield f"urls: entry {place} {message}"


def list_problems(endpoints: Sequence[EndpointSettings]) -> Iterator[str]:
    """What is wrong with entries beside each other."""
    names = Counter((endpoint.name, endpoint.variant) for endpoint in endpoints)
    for (name, variant), count in names.items():
        if count > 1:
            yield (
                f"endpoints name {name} with variant {variant} {count} times; give each its own variant, or put "
                "the servers of all into the urls of one"
            )
    for name, variants in groupby(sorted(endpoints, key=lambda one: one.name), key=lambda one: one.name):
        if not any(endpoint.weight for endpoint in variants):
            yield f"endpoints of the name {name} all have weight 0; a request that names no variant would find none"


def _url_problem(kind: EndpointKind, url: str) -> str:
    if kind == "container":
        return container_problem(url)
    return sagemaker_problem(url) if kind == "sagemaker" else realtime_problem(url, "the entry's api_key_file")
