from parley.access.action import ACTIONS, NODE_TARGET, Target


def test_the_actions_are_the_documented_ones() -> None:
    assert ACTIONS == ("start", "resume", "observe", "read", "end", "move", "drain", "admin")


def test_a_nodes_own_affairs_are_no_tenants() -> None:
    assert Target(tenant="node") == NODE_TARGET
