"""What a model server says of itself: the models that it serves, and which release of what it is."""

from dataclasses import dataclass
from typing import Any

import msgspec

from parley.upstream.plain_routes import PlainRoutes

_MODELS_MAX = 64
_NAME_MAX_CHARACTERS = 256
_VERSION_MAX_CHARACTERS = 64


class _Model(msgspec.Struct):
    id: str
    # Of any type: a server whose limit makes no sense still has a name.
    max_model_len: Any = None
    owned_by: Any = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Version(msgspec.Struct):
    version: str
    # The embedded engine names itself.
    engine: Any = None


@dataclass(frozen=True, slots=True)
class Description:
    """A server's answers to `/v1/models` and `/version`; what it did not answer is empty.

    `max_model_len` is the most tokens that one generation may have, the least of its models', 0 where none says.
    `is_vllm` is False where it says that it is something else.
    """

    models: tuple[str, ...] = ()
    max_model_len: int = 0
    version: str = ""
    is_vllm: bool = True


async def describe(routes: PlainRoutes) -> Description:
    """Ask a server. One that does not tell is taken as it is.

    Raises aiohttp.ClientError, TimeoutError or OSError when it does not answer at all.
    """
    listing = _decoded(await routes.get("/v1/models"), _Models)
    listed = listing.data if listing is not None else []
    models = [model for model in listed if len(model.id) <= _NAME_MAX_CHARACTERS][:_MODELS_MAX]
    limits = [model.max_model_len for model in models if type(model.max_model_len) is int]
    version = _decoded(await routes.get("/version"), _Version)
    owners = {model.owned_by for model in models if isinstance(model.owned_by, str)}
    return Description(
        models=tuple(model.id for model in models),
        max_model_len=min((limit for limit in limits if limit > 0), default=0),
        version=version.version[:_VERSION_MAX_CHARACTERS] if version is not None else "",
        is_vllm=(version is None or version.engine is None) and (not owners or "vllm" in owners),
    )


def _decoded[T](body: bytes | None, kind: type[T]) -> T | None:
    """The body, if it is JSON of this kind."""
    try:
        return msgspec.json.decode(body or b"", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The last two are no errors of msgspec's own.
        return None
