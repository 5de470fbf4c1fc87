"""Makes pools of vLLM servers, and of SageMaker endpoints that vLLM servers are behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parley.aws.address import EndpointAddress, is_sagemaker
from parley.aws.options import AwsOptions
from parley.aws.sdk import make_client
from parley.upstream.health.health import HealthOptions, PassiveHealth, UpstreamHealth
from parley.upstream.health.prober import ProbeOptions
from parley.upstream.pool.member import MemberSpec, PoolMember
from parley.upstream.pool.pool import UpstreamPool
from parley.upstream.sagemaker import LEG_AGE_MAX_S, SageMakerUpstream
from parley.upstream.tls import Contexts
from parley.upstream.vllm import VllmOptions, VllmUpstream

if TYPE_CHECKING:
    from parley.aws.client import AwsClient


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """What the members of a pool have in common; see `VllmOptions`, `HealthOptions`, `SageMakerUpstream` and
    `UpstreamPool`. `streams_max` is the budget of those that have none of their own, 0 for none; of each budget
    `spare_streams` are not for new sessions."""

    api_key: str | None = field(default=None, repr=False)
    tls: Contexts | None = field(default=None, repr=False)
    model: str = ""
    connect_timeout_s: float = 5.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    probe_interval_s: float = 2.0
    probe_timeout_s: float = 2.0
    sagemaker_leg_age_max_s: float = LEG_AGE_MAX_S
    allows_old_versions: bool = False
    probe: ProbeOptions | None = None
    streams_max: int = 0
    spare_streams: int = 0
    lag_budget_s: float = 0.0
    drain_timeout_s: float = 60.0
    retry_after_s: float = 2.0


def vllm_pool(
    servers: Sequence[str | MemberSpec], options: PoolOptions, on_change: Callable[[], None] | None = None
) -> UpstreamPool:
    """A pool of vLLM servers by their realtime URLs, or by SageMaker's endpoints that they are behind.

    Raises:
        AwsError: sdk-missing, when there is one of SageMaker's and AWS's SDK is not there.
        ValueError: a URL of SageMaker's is wrong.
    """
    maker = _MemberMaker(options)
    specs = [MemberSpec(url=server) if isinstance(server, str) else server for server in servers]
    return UpstreamPool(
        [maker.make(spec) for spec in specs],
        connect_timeout_s=options.connect_timeout_s,
        model=options.model,
        make_member=maker.make,
        lag_budget_s=options.lag_budget_s,
        drain_timeout_s=options.drain_timeout_s,
        retry_after_s=options.retry_after_s,
        probe=options.probe,
        on_change=on_change,
        on_end=maker.close,
    )


class _MemberMaker:
    """Makes members, those on SageMaker with one client of AWS's for all."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._aws: AwsClient | None = None

    def make(self, spec: MemberSpec) -> PoolMember:
        """A member; see `vllm_pool` for what it raises."""
        return self._sagemaker_member(spec) if is_sagemaker(spec.url) else _vllm_member(spec, self._options)

    async def close(self) -> None:
        """Close AWS's client."""
        aws, self._aws = self._aws, None
        if aws is not None:
            await aws.close()

    def _sagemaker_member(self, spec: MemberSpec) -> PoolMember:
        options = self._options
        address = EndpointAddress.parse(spec.url)
        if self._aws is None:
            self._aws = make_client(AwsOptions(connect_timeout_s=options.connect_timeout_s))
        upstream = SageMakerUpstream(
            self._aws,
            address,
            connect_timeout_s=options.connect_timeout_s,
            leg_age_max_s=options.sagemaker_leg_age_max_s,
        )
        return _member(upstream, PassiveHealth(str(address)), spec, options)


def _vllm_member(spec: MemberSpec, options: PoolOptions) -> PoolMember:
    api_key = options.api_key if spec.api_key is None else spec.api_key
    upstream = VllmUpstream(
        VllmOptions(
            url=spec.url,
            api_key=api_key,
            connect_timeout_s=options.connect_timeout_s,
            ping_interval_s=options.ping_interval_s,
            ping_timeout_s=options.ping_timeout_s,
            address=spec.address,
            tls=options.tls,
        )
    )
    health = UpstreamHealth(
        HealthOptions(
            url=spec.url,
            api_key=api_key,
            probe_interval_s=options.probe_interval_s,
            probe_timeout_s=options.probe_timeout_s,
            address=spec.address,
            tls=options.tls,
            allows_old_versions=options.allows_old_versions,
        )
    )
    return _member(upstream, health, spec, options)


def _member(
    upstream: VllmUpstream | SageMakerUpstream,
    health: UpstreamHealth | PassiveHealth,
    spec: MemberSpec,
    options: PoolOptions,
) -> PoolMember:
    return PoolMember(upstream, health, spec, streams_max=options.streams_max, spare=options.spare_streams)
