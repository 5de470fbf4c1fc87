"""The simulator is tested: bugs put into the core must be found within a stated number of seeds."""

import pytest

from parley.simulation import Options, run

from .mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_a_bug_in_the_core_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.plant(monkeypatch)
    found = next((seed for seed in range(mutation.seeds_max) if not run(Options(seed)).is_ok), None)
    assert found is not None, f"not found within {mutation.seeds_max} seeds: {mutation.name}"
