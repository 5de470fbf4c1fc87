import pytest

from parley.engine.clock import delta_covering, deltas_of_turn, deltas_while_open, samples_for_delta


@pytest.mark.parametrize(("samples", "deltas"), [(800, 11), (8_000, 17), (16_000, 23), (64_000, 60), (80_000, 73)])
def test_a_turn_has_as_many_deltas_as_vllm_gives_it(samples: int, deltas: int) -> None:
    assert deltas_of_turn(samples) == deltas


def test_a_turn_without_audio_has_no_deltas() -> None:
    assert deltas_of_turn(0) == 0


def test_the_first_delta_comes_with_562_5_ms() -> None:
    assert (deltas_while_open(8_999), deltas_while_open(9_000), samples_for_delta(0)) == (0, 1, 9_000)


@pytest.mark.parametrize("samples", [9_000, 9_001, 10_279, 10_280, 123_456])
def test_the_end_of_a_turn_adds_17_deltas(samples: int) -> None:
    assert deltas_of_turn(samples) - deltas_while_open(samples) == 17


@pytest.mark.parametrize(("samples", "index"), [(1, 0), (1_280, 0), (1_281, 1), (2_560, 1)])
def test_a_delta_claims_80_ms_for_itself_and_each_before_it(samples: int, index: int) -> None:
    assert delta_covering(samples) == index
