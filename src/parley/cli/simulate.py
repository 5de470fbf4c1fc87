"""`parley simulate`: the real core and client under a virtual clock, with everything that goes wrong between them."""

import click


@click.command("simulate")
@click.option("--seeds", default=100, show_default=True, type=click.IntRange(1), help="How many runs.")
@click.option("--first", default=0, show_default=True, type=click.IntRange(0), help="The first run's seed.")
@click.option("--seed", type=click.IntRange(0), help="One run alone, with its last events.")
@click.option("--hours", type=click.FloatRange(0.001, 100), help="Speech of each user, simulated.  [default: 40 s]")
@click.option("--minutes", type=click.FloatRange(0.01), help="Stop after so many real minutes; goes beyond --seeds.")
@click.option("--users", type=click.IntRange(1, 20), help="Users at a time, instead of what the seed says.")
@click.option("--plain-users", type=click.IntRange(0, 20), help="How many of them do without the session contract.")
@click.option("--diverge/--no-diverge", default=None, help="Whether a model hears other words when it decodes again.")
@click.option("--without", multiple=True, metavar="FAULT", help="Leave out a class of faults; may be repeated.")
@click.option("--failures", default=1, show_default=True, type=click.IntRange(1), help="Stop after so many failures.")
@click.option("--minimise/--no-minimise", default=True, show_default=True, help="Make a failing run smaller.")
def command(
    seeds: int,
    first: int,
    seed: int | None,
    hours: float | None,
    minutes: float | None,
    users: int | None,
    plain_users: int | None,
    diverge: bool | None,
    without: tuple[str, ...],
    failures: int,
    minimise: bool,
) -> int:
    """Run sessions with faults, and check that nothing is lost, doubled or left behind.

    Each seed is one run: users who speak, connections that break at any byte, model servers that crash, stall, go mute
    or lie. What goes wrong follows from the seed, and the same seed is the same run. A failure is printed with the
    command that shows it again.
    """
    # Loaded only now, so that help is answered at once.
    from parley.cli.simulating import Simulating, simulate

    return simulate(
        Simulating(
            seeds=1 if seed is not None else seeds,
            first=seed if seed is not None else first,
            is_verbose=seed is not None,
            hours=hours,
            minutes=minutes if seed is None else None,
            users=users,
            plain_users=plain_users,
            diverges=diverge,
            without=without,
            failures=failures,
            minimises=minimise,
        )
    )
