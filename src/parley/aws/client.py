"""A client of SageMaker's endpoints: AWS's SDK, with credentials that are one stream's for as long as it lasts.

The SDK asks for credentials again at each event that it signs. Were they renewed in mid-stream, the signatures would no
longer be a chain; so each stream keeps those that it began with, and the next one asks anew.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from aws_sdk_sagemaker_runtime_http2.client import AsyncSageMakerRuntimeHTTP2Client
from aws_sdk_sagemaker_runtime_http2.config import AsyncSageMakerRuntimeHTTP2Config
from aws_sdk_sagemaker_runtime_http2.models import InvokeEndpointWithBidirectionalStreamInput
from awscrt.io import ClientBootstrap
from smithy_aws_core.config.exceptions import ConfigError
from smithy_aws_core.identity import AWSCredentialsIdentity
from smithy_aws_core.identity.chain import IdentityChain
from smithy_core.exceptions import SmithyError, SmithyIdentityError
from smithy_http.aio.crt import AWSCRTHTTPClient

from parley.aws.address import EndpointAddress
from parley.aws.connector import Connector
from parley.aws.diagnosis import tls_problem
from parley.aws.failure import AwsError, connect_error, misconfigured
from parley.aws.options import AwsOptions
from parley.aws.stream import AwsStream, StreamSink
from parley.aws.transport import StreamTransport
from parley.core.errors import ERRORS

_PORT = 8443
"""Of SageMaker's runtime over HTTP/2; the SDK itself would take 443."""

_NO_CREDENTIALS = (
    "No AWS credentials were found, or their source does not answer. `aws configure` stores some; AWS_PROFILE, "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY name others."
)
_NO_REGION = "No AWS region is set: add ?region=us-east-1 to the URL, or set AWS_REGION."


@dataclass(frozen=True, slots=True)
class _Site:
    """What AWS's variables and files said at `read_at`: where to, and how credentials are found."""

    sdk: AsyncSageMakerRuntimeHTTP2Client
    identities: Any
    place: str
    read_at: float


class AwsClient:
    """Opens streams, which share what was found out about AWS: region, credentials, whom to trust.

    Belongs to one event loop; `close` it when its streams are closed.
    """

    def __init__(self, options: AwsOptions | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options or AwsOptions()
        self._clock = clock
        self._connector = Connector(self.options)
        self._plain_http = AWSCRTHTTPClient(eventloop=_StaticLoop())  # type: ignore[arg-type]
        self._sites: dict[str, _Site] = {}
        self._lock = asyncio.Lock()
        self._dropped: set[asyncio.Task[None]] = set()

    async def open(
        self,
        address: EndpointAddress,
        sink: StreamSink,
        *,
        query: str = "",
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AwsStream:
        """A stream to an endpoint's container; what happens on it is told to `sink`. `headers` are for the endpoint,
        beside those that are signed.

        Raises:
            AwsError: there is none, within `timeout_s` (the options' `connect_timeout_s`).
        """
        transport = StreamTransport(self._connector, headers)
        bound_s = self.options.connect_timeout_s if timeout_s is None else timeout_s
        place = ""
        try:
            async with asyncio.timeout(bound_s):
                site, identity = await self._identify(address.region)
                place = site.place
                duplex = await site.sdk.invoke_endpoint_with_bidirectional_stream(
                    InvokeEndpointWithBidirectionalStreamInput(
                        endpoint_name=address.endpoint,
                        target_variant=address.variant or None,
                        model_invocation_path=address.path or None,
                        model_query_string=query or None,
                    ),
                    plugins=[_own(transport, identity)],
                )
                _, receiver = await duplex.await_output()
        except TimeoutError as error:
            await transport.settle(self.options.close_timeout_s)
            problem = None
            if place and transport.exchange is None:
                problem = await tls_problem(place, self.options.ca_file)
            raise connect_error(place or "AWS's source of credentials", problem or error) from None
        except SmithyError as error:
            await transport.settle(self.options.close_timeout_s)
            raise self._failure(transport, error, place) from None
        except BaseException:
            await transport.settle(self.options.close_timeout_s)
            raise
        return AwsStream(duplex.input_stream, receiver, transport, sink, self.options, self._drop)

    async def _identify(self, region: str) -> tuple[_Site, Any]:
        # One at a time: the sources of credentials are slow, or limit how often they may be asked.
        async with self._lock:
            site = self._sites.get(region)
            if site is None or self._clock() - site.read_at >= self.options.credentials_max_age_s:
                site = self._sites[region] = await self._read(region)
            try:
                identity = await site.identities.get_identity(properties={})
            except SmithyIdentityError as error:
                del self._sites[region]
                packages = " ".join(source.package for source in getattr(error, "unclaimed_sources", ()))
                more = f" One that is set up here takes a package of AWS's: pip install {packages}" if packages else ""
                raise misconfigured(f"{_NO_CREDENTIALS}{more}") from None
            if identity.is_expired:
                # The SDK would never come back: it waits for a request that its signer has refused to make.
                del self._sites[region]
                spec = ERRORS["expired-credentials"]
                message = "The temporary AWS credentials have expired, and their source has no others: renew them."
                raise AwsError(spec.code, message, fault=spec.fault, retry=spec.retry)
            return site, identity

    async def _read(self, region: str) -> _Site:
        overrides: dict[str, Any] = {"region": region} if region else {}
        if self.options.endpoint_url:
            overrides["endpoint_uri"] = self.options.endpoint_url
        try:
            config = await AsyncSageMakerRuntimeHTTP2Config.resolve(
                transport=StreamTransport(self._connector), **overrides
            )
        except (ConfigError, OSError) as error:
            if "region" in str(error) and not region:
                raise misconfigured(_NO_REGION) from None
            raise misconfigured(f"AWS's settings can't be used: {error}") from None
        if not config.region:
            raise misconfigured(_NO_REGION)
        if not config.endpoint_uri:
            suffix = "amazonaws.com.cn" if config.region.startswith("cn-") else "amazonaws.com"
            config.endpoint_uri = f"https://runtime.sagemaker.{config.region}.{suffix}:{_PORT}"
        place = urlsplit(str(config.endpoint_uri))
        if place.scheme != "https" or not place.hostname:
            raise misconfigured("AWS's SDK speaks HTTP/2 over TLS only: the endpoint's URL has to begin with https://.")
        context = config.resolution_context()
        config_file = await context.parsed_profiles() if context is not None else None
        identities = await IdentityChain.create(
            AWSCredentialsIdentity,
            config_file=config_file,
            region_override=config.region,
            http_client=self._plain_http,
        )
        # Else the SDK would make a chain of its own, that nobody asks.
        config.aws_credentials_identity_resolver = identities
        sdk = AsyncSageMakerRuntimeHTTP2Client(config=config)
        return _Site(sdk, identities, place.netloc.rpartition("@")[2], self._clock())

    def _failure(self, transport: StreamTransport, error: SmithyError, place: str) -> AwsError:
        failure = transport.failure
        if failure is None:
            cause = error.__cause__ or error
            failure = connect_error(place, cause)
        if failure.is_about_credentials:
            # They may have been renewed where they come from.
            self._sites.clear()
        return failure

    def _drop(self, stream: AwsStream) -> None:
        """See to the end of a stream that nobody waits for."""
        task = asyncio.get_running_loop().create_task(stream.abort())
        self._dropped.add(task)
        task.add_done_callback(self._dropped.discard)

    async def close(self) -> None:
        """See to the end of the streams that were dropped; its user closes the others before."""
        if self._dropped:
            await asyncio.wait(self._dropped)
        await self._plain_http.close()


class _StaticLoop:
    """The runtime library's one event loop of this process, in the shape that the SDK's transport asks for."""

    @property
    def bootstrap(self) -> Any:
        """What connections are made with."""
        return ClientBootstrap.get_or_create_static_default()


class _OneIdentity:
    """Credentials that stay as they are. When they expire the stream's events are signed with them all the same: that
    it goes on is for SageMaker to allow."""

    def __init__(self, identity: AWSCredentialsIdentity) -> None:
        self._identity = replace(identity, expiration=None)

    async def get_identity(self, *, properties: Any) -> Any:
        """See smithy_core.aio.interfaces.identity.IdentityResolver."""
        return self._identity


def _own(transport: StreamTransport, identity: Any) -> Callable[[AsyncSageMakerRuntimeHTTP2Config], None]:
    """The settings of one call."""

    def plugin(config: AsyncSageMakerRuntimeHTTP2Config) -> None:
        config.transport = transport
        config.aws_credentials_identity_resolver = _OneIdentity(identity)

    return plugin
