"""Ranks of new sessions."""

import pytest

from parley.core.effects import LegPurpose
from parley.core.tenant import Tenant
from parley.core.ticket import RANKS, Place


@pytest.mark.parametrize(("priority", "rank"), [(9, 3), (5, 7), (0, 12)])
def test_a_new_session_comes_behind_living_ones_and_the_sooner_the_higher_its_tenants_priority(
    priority: int, rank: int
) -> None:
    assert Place(Tenant("a", priority=priority), "m").rank == rank
    assert max(LegPurpose.RECOVERY, LegPurpose.RETURN) < rank < RANKS
