"""The virtual clock."""

from parley.simulation.world import World


def test_things_happen_in_the_order_of_their_times_and_then_of_asking() -> None:
    world, happened = World(0), list[str]()
    world.at(2.0, lambda: happened.append("late"))
    world.at(1.0, lambda: happened.append("first"))
    world.at(1.0, lambda: happened.append("second"))
    world.run(10.0)
    assert happened == ["first", "second", "late"]
    assert world.now == 10.0


def test_what_is_cancelled_does_not_happen() -> None:
    world, happened = World(0), list[str]()
    world.after(1.0, lambda: happened.append("no")).cancel()
    world.run(5.0)
    assert happened == []
    assert world.pending == 0


def test_a_run_stops_when_it_is_told_to() -> None:
    world = World(0)
    world.at(3.0, world.stop)
    world.at(4.0, lambda: None)
    assert world.run(10.0)
    assert world.now == 3.0


def test_no_fault_happens_once_everything_has_healed() -> None:
    world, struck = World(0), list[float]()
    world.sometimes(60.0, lambda: True, lambda: struck.append(world.now))
    world.run(20.0)
    before = len(struck)
    world.heal()
    world.run(100.0)
    assert before > 5
    assert len(struck) == before
    assert world.pending == 0


def test_the_log_keeps_the_last_events_and_fills_them_in_when_they_are_read() -> None:
    world = World(0)
    for number in range(1_000):
        world.log("who", "event {}", number)
    assert world.last_events(1)[0].what == "event 999"
    assert len(world.last_events()) < 1_000
