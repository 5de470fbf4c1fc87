from parley.core.usage import Usage


def test_a_turn_that_never_reached_a_model_cost_nothing() -> None:
    assert Usage() == Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)


def test_usage_is_a_value() -> None:
    assert Usage(39, 23, 62) == Usage(prompt_tokens=39, completion_tokens=23, total_tokens=62)
    assert hash(Usage(39, 23, 62)) == hash(Usage(39, 23, 62))
