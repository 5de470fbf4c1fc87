"""Where model servers that come and go are looked up, as the settings say, and how a file of them is read."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from parley.aws import sdk
from parley.aws.address import is_sagemaker
from parley.aws.failure import AwsError
from parley.server.settings.document import UpstreamSettings
from parley.server.settings.tables import read_table
from parley.server.settings.wording import shown
from parley.server.start import StartError
from parley.server.upstream_specs import member_spec
from parley.upstream.discovery.discovery import Discovery, DiscoveryError, Members, Source
from parley.upstream.discovery.dns import DnsSource
from parley.upstream.discovery.file import FileSource
from parley.upstream.pool.member import MemberSpec

_TABLE = "upstreams"


def make_discoveries(upstream: UpstreamSettings, members: Members[MemberSpec]) -> list[Discovery[MemberSpec]]:
    """What is to run beside the pool: nothing, where its servers are all named."""
    sources: list[Source[MemberSpec]] = []
    if upstream.discover_dns:
        sources.append(DnsSource(upstream.discover_dns, lambda url, address: MemberSpec(url=url, address=address)))
    if upstream.discover_file:
        sources.append(FileSource(Path(upstream.discover_file), read_upstreams))
    return [
        Discovery(source, members, key_of=lambda spec: spec.identity, interval_s=upstream.discover_interval_s)
        for source in sources
    ]


def read_upstreams(content: bytes) -> Sequence[MemberSpec]:
    """The servers of a file of `[[upstreams]]`, as the settings' own file has them.

    Raises:
        DiscoveryError: it is no TOML, or an entry is wrong; the message names all that are.
    """
    try:
        document = tomllib.loads(content.decode())
    except tomllib.TOMLDecodeError as error:
        # Its message names the place and the kind of mistake, and for a few mistakes one character or a key.
        raise DiscoveryError(f"it is not TOML: {shown(str(error))}") from None
    except UnicodeDecodeError:
        raise DiscoveryError("it is not TOML: it is not UTF-8") from None
    except RecursionError:
        raise DiscoveryError("it is nested too deeply") from None
    others = [key for key in document if key != _TABLE]
    if others:
        raise DiscoveryError(f"it may have [[{_TABLE}]] alone, and has {shown(others[0])}")
    entries, problems = read_table(_TABLE, document.get(_TABLE, []))
    if problems:
        raise DiscoveryError("; ".join(problems))
    try:
        if any(is_sagemaker(entry.url) for entry in entries):
            # Known before the pool is to make a member that it can't.
            sdk.check()
        return [member_spec(entry, number) for number, entry in enumerate(entries, 1)]
    except StartError as error:
        raise DiscoveryError(str(error)) from None
    except AwsError as error:
        raise DiscoveryError(f"{error.code}: {error.message}") from None
