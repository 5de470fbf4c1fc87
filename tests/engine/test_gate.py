from parley.engine.gate import Gate, GateState, hops


def states(gate: Gate, probabilities: list[float], pause_hops: int = 3) -> list[GateState]:
    return [gate.push(probability, pause_hops) for probability in probabilities]


def test_one_loud_hop_is_a_click_and_two_are_speech() -> None:
    found = states(Gate(), [0.9, 0.1, 0.9, 0.9])
    assert found == [GateState.SILENCE] * 3 + [GateState.START]


def test_speech_goes_on_through_doubtful_hops() -> None:
    gate = Gate()
    states(gate, [0.9, 0.9])
    assert states(gate, [0.4, 0.36, 0.35, 0.4]) == [GateState.SPEECH] * 4


def test_a_pause_ends_the_segment() -> None:
    gate = Gate()
    states(gate, [0.9, 0.9])
    assert states(gate, [0.1, 0.1, 0.1]) == [GateState.SPEECH, GateState.SPEECH, GateState.END]


def test_a_sound_within_the_pause_starts_it_anew() -> None:
    gate = Gate()
    states(gate, [0.9, 0.9, 0.1, 0.1, 0.6, 0.1])
    assert gate.silent_hops == 1


def test_after_the_end_another_segment_can_start() -> None:
    gate = Gate()
    states(gate, [0.9, 0.9, 0.1, 0.1, 0.1])
    assert states(gate, [0.1, 0.9, 0.9])[-1] is GateState.START


def test_a_duration_is_at_least_one_hop() -> None:
    assert (hops(0.32), hops(0.001)) == (10, 1)
