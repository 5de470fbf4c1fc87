"""What a tenant may have in a time: connections in a minute, audio in a day. Numbers alone; times are given."""

import math

DAY_S = 86_400
_MINUTE_S = 60.0


class ConnectQuota:
    """Connections in a minute, as a bucket that holds a minute's and fills evenly. Bounded: `tenants_max` buckets, of
    which those that are full again are dropped first."""

    def __init__(self, *, tenants_max: int = 10_000) -> None:
        self._tenants_max = tenants_max
        self._emptied_until_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._emptied_until_s)

    def take(self, tenant: str, per_minute: int, now_s: float) -> float:
        """Take one connection; 0, or the seconds until there is one if there is none. `now_s` never goes back."""
        step_s = _MINUTE_S / per_minute
        # When the bucket would be full; a minute's worth of steps ahead of now it is empty.
        full_at_s = max(self._emptied_until_s.get(tenant, now_s), now_s)
        wait_s = full_at_s + step_s - (now_s + _MINUTE_S)
        if wait_s > 1e-9:
            return wait_s
        if tenant not in self._emptied_until_s and len(self._emptied_until_s) >= self._tenants_max:
            self._forget(now_s)
        self._emptied_until_s[tenant] = full_at_s + step_s
        return 0.0

    def _forget(self, now_s: float) -> None:
        kept = {tenant: at_s for tenant, at_s in self._emptied_until_s.items() if at_s > now_s}
        while len(kept) >= self._tenants_max:
            # Whoever has used least loses least.
            del kept[min(kept, key=kept.__getitem__)]
        self._emptied_until_s = kept


class AudioQuota:
    """Audio in a day of UTC, in seconds, by tenant. What was used is forgotten when the day ends."""

    def __init__(self) -> None:
        self._day = 0
        self._used_s: dict[str, float] = {}

    def used_s(self, tenant: str, unix_s: float) -> float:
        """What a tenant has used of this day."""
        self._turn(unix_s)
        return self._used_s.get(tenant, 0.0)

    def use(self, tenant: str, seconds: float, unix_s: float) -> float:
        """A tenant has sent so much more; what it has used of this day."""
        self._turn(unix_s)
        self._used_s[tenant] = self._used_s.get(tenant, 0.0) + seconds
        return self._used_s[tenant]

    def _turn(self, unix_s: float) -> None:
        day = math.floor(unix_s / DAY_S)
        # A clock that is set back by some seconds at midnight does not give the day once more.
        if day > self._day:
            self._day = day
            self._used_s.clear()


def day_ends_in_s(unix_s: float) -> float:
    """Seconds until the next day of UTC begins."""
    return DAY_S - unix_s % DAY_S
