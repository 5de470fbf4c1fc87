import pytest

from parley.access.action import ACTIONS, NODE_TARGET, TENANT, Target


def test_the_actions_are_the_documented_ones() -> None:
    assert ACTIONS == ("start", "resume", "observe", "read", "end", "move", "drain", "admin")


def test_a_nodes_own_affairs_are_no_tenants() -> None:
    assert Target(tenant="node") == NODE_TARGET


@pytest.mark.parametrize("name", ["a", "acme", "Acme-2", "a--b", "x" * 63, "nodes", "node-1"])
def test_a_tenant_is_called_by_letters_digits_and_hyphens(name: str) -> None:
    assert TENANT.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "../a", "x" * 64, "a-" * 3_000 + "a", "node", "a\n"])
def test_anything_else_is_no_name_of_a_tenant(name: str) -> None:
    assert not TENANT.fullmatch(name)
