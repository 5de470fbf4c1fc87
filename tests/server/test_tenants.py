"""Which tenant a client is of."""

from parley.access.caller import NOBODY, Caller
from parley.access.principal import principal_of, principal_of_key
from parley.core.tenant import Tenant
from parley.server.settings.tenant import TenantSettings
from parley.server.tenants import Tenants

BEARER = principal_of("Bearer hunter2")
NAMED = TenantSettings(name="callers", access_keys=("AKIAEXAMPLE",), principals=(BEARER,), max_sessions=4, priority=9)


def test_all_clients_of_an_entry_are_one_tenant() -> None:
    tenants = Tenants([NAMED], others_max=2)
    assert tenants.of(Caller(principal_of_key("AKIAEXAMPLE"))) == tenants.of(Caller(BEARER)) == Tenant("callers", 4, 9)


def test_everybody_else_is_a_tenant_of_its_own() -> None:
    tenants = Tenants([NAMED], others_max=2)
    other = principal_of("Bearer other")
    assert tenants.of(Caller(other)) == Tenant(other, 2, 5)


def test_those_without_credentials_are_one_tenant() -> None:
    assert Tenants([NAMED], others_max=0).of(NOBODY) == Tenant("", 0, 5)


def test_a_caller_may_be_of_a_tenant_by_its_name() -> None:
    tenants = Tenants([TenantSettings(name="callers", callers=("key:captions",), max_sessions=4)], others_max=2)
    caller = Caller("1" * 64, "key:captions")
    assert tenants.name_of(caller) == "callers"
    assert tenants.of(caller) == Tenant("callers", 4, 5)


def test_a_tenant_that_a_credential_names_and_no_entry_does_has_the_bounds_of_all_others() -> None:
    assert Tenants([], others_max=2).of(Caller("1" * 64, tenant="acme")) == Tenant("acme", 2, 5)


def test_whoever_is_of_no_entry_is_named_by_none() -> None:
    assert Tenants([NAMED], others_max=0).name_of(NOBODY) == ""
