"""Tenants."""

from parley.core.tenant import PRIORITY_MAX, Tenant


def test_a_tenant_has_any_number_of_sessions_and_the_middle_priority_unless_told() -> None:
    tenant = Tenant("callers")
    assert (tenant.sessions_max, tenant.priority) == (0, 5)
    assert tenant.priority < PRIORITY_MAX
