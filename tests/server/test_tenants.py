"""Which tenant a client is of."""

from parley.access.principal import principal_of, principal_of_key
from parley.core.tenant import Tenant
from parley.server.settings.tenant import TenantSettings
from parley.server.tenants import Tenants

BEARER = principal_of("Bearer hunter2")
NAMED = TenantSettings(name="callers", access_keys=("AKIAEXAMPLE",), principals=(BEARER,), max_sessions=4, priority=9)


def test_all_clients_of_an_entry_are_one_tenant() -> None:
    tenants = Tenants([NAMED], others_max=2)
    assert tenants.of(principal_of_key("AKIAEXAMPLE")) == tenants.of(BEARER) == Tenant("callers", 4, 9)


def test_everybody_else_is_a_tenant_of_its_own() -> None:
    tenants = Tenants([NAMED], others_max=2)
    other = principal_of("Bearer other")
    assert tenants.of(other) == Tenant(other, 2, 5)


def test_those_without_credentials_are_one_tenant() -> None:
    assert Tenants([NAMED], others_max=0).of("") == Tenant("", 0, 5)
