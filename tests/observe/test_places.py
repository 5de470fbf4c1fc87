from parley.observe.marks import Sample
from parley.observe.places import WINDOW_SAMPLES, Places


def looked(
    *,
    loop_late_s: float = 0.0,
    client_rtt_s: float | None = 0.001,
    upstream_rtt_s: float | None = 0.001,
    model_delay_s: float = 0.02,
    held_s: float = 0.0,
    state: str = "live",
    times: int = WINDOW_SAMPLES,
) -> Places:
    places = Places()
    for number in range(times):
        sample = Sample(
            at_s=number / 2,
            state=state,
            client_rtt_s=client_rtt_s,
            upstream_rtt_s=upstream_rtt_s,
            model_delay_s=model_delay_s,
            held_s=held_s,
            has_leg=state == "live",
        )
        places.sample(sample, loop_late_s)
    return places


def test_nothing_is_slowest_before_anything_was_measured() -> None:
    view = Places().view()
    assert (view.client_link_s, view.gateway_s, view.upstream_link_s, view.model_s, view.slowest) == (
        None,
        None,
        None,
        None,
        "",
    )


def test_a_slow_link_to_the_client_is_named() -> None:
    assert looked(client_rtt_s=0.3).view().slowest == "client-link"


def test_a_loop_that_stands_still_is_the_gateways_and_neither_the_links_nor_the_models() -> None:
    view = looked(loop_late_s=0.2, model_delay_s=0.21).view()
    assert (view.slowest, view.gateway_s) == ("gateway", 0.2)
    assert view.model_s is not None
    assert view.model_s < 0.05


def test_a_slow_link_to_the_model_server_is_not_blamed_on_the_model() -> None:
    view = looked(upstream_rtt_s=0.3, model_delay_s=0.32).view()
    assert (view.slowest, view.upstream_link_s, view.model_s) == ("upstream-link", 0.3, 0.02)


def test_a_slow_model_is_named() -> None:
    assert looked(model_delay_s=0.5).view().slowest == "model"


def test_waiting_for_a_place_is_the_gateways() -> None:
    assert looked(state="queued", held_s=3.0, model_delay_s=0.0).view().slowest == "gateway"


def test_a_model_that_keeps_up_takes_no_time_and_nothing_notable_is_slowest() -> None:
    view = looked(model_delay_s=0.0).view()
    assert (view.model_s, view.slowest) == (0.0, "")


def test_one_late_answer_to_a_ping_is_no_slow_link() -> None:
    places = looked(times=WINDOW_SAMPLES - 1)
    places.sample(Sample(at_s=20.0, state="live", client_rtt_s=2.0, model_delay_s=0.02), 0.0)
    assert places.view().client_link_s == 0.001


def test_what_was_before_the_window_is_forgotten() -> None:
    places = looked(client_rtt_s=0.001)
    for _ in range(WINDOW_SAMPLES):
        places.sample(Sample(at_s=20.0, state="live", client_rtt_s=0.4), 0.0)
    assert places.view().client_link_s == 0.4
