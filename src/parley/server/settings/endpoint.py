# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings of one endpoint: its names, and what serves it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from parley.server.settings.types import AwsName, CountOrAuto, Names, Weight, setting

EndpointKind = Literal["parley", "vllm", "container", "sagemaker"]

DEFAULT_VARIANT = "AllTraffic"
"""What SageMaker's own tools call the only variant of an endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """One variant of an endpoint: a name that SageMaker's clients may call, and what serves it.

    Without any there is one endpoint, `parley`, with this node's own sessions. A list of tables comes from the file
    alone: there are no options and no environment variables for it.
    """

    name: AwsName = setting("", "The endpoint's name. Needed.")
    variant: AwsName = setting(DEFAULT_VARIANT, "The variant's name; an endpoint of several has an entry for each.")
    weight: Weight = setting(1.0, "Its share of the requests that name no variant, beside the others of the endpoint.")
    kind: EndpointKind = setting(
        "parley",
        "parley: this node's own sessions; vllm: sessions on model servers of its own; container: a container that "
        "speaks SageMaker's contract; sagemaker: sessions on an endpoint of SageMaker's.",
    )
    urls: Names = setting(
        (),
        "Its servers, one or more; those of an entry are alike. vllm: ws://HOST:PORT/v1/realtime; container: "
        "ws://HOST:PORT; sagemaker: sagemaker://NAME.",
    )
    model: str = setting("", "Name of the model, for vllm and sagemaker. Empty: the first one that is listed.")
    api_key_file: str = setting("", "File that holds the key sent to the servers of kind vllm. Empty: no key.")
    max_sessions: CountOrAuto = setting(
        0,
        "Streams to have open on each server of it, for vllm and sagemaker. 0: bounded by server.max_sessions alone.",
    )


TAKES: Mapping[EndpointKind, frozenset[str]] = {
    "parley": frozenset(),
    "vllm": frozenset({"urls", "model", "api_key_file", "max_sessions"}),
    "container": frozenset({"urls"}),
    "sagemaker": frozenset({"urls", "model", "max_sessions"}),
}
"""The keys that mean something to each kind, beside those of every entry."""
