from parley.client.pacing import FullPace, RealTimePace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.slept_s.append(round(duration_s, 6))
        self.now_s += duration_s


async def test_each_moment_is_reached_when_it_would_have_been_spoken() -> None:
    clock = Clock()
    pace = RealTimePace(clock, clock.sleep)
    for place in range(1, 4):
        await pace.reach(place * 0.08)
    assert clock.slept_s == [0.08, 0.08, 0.08]


async def test_time_lost_elsewhere_is_made_up_for() -> None:
    clock = Clock()
    pace = RealTimePace(clock, clock.sleep)
    await pace.reach(0.08)
    clock.now_s += 0.5
    await pace.reach(0.16)
    await pace.reach(0.64)
    assert clock.slept_s == [0.08, 0.06]


async def test_at_full_pace_nothing_waits() -> None:
    await FullPace().reach(3_600.0)
