"""How much is tried, and for how long one example may take: in `make test` the same each time, else anew."""

from datetime import timedelta

from hypothesis import HealthCheck, settings

DEADLINE = timedelta(seconds=10)
"""An example takes milliseconds; this says that none hangs, on any machine."""

_ANY_SPEED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


def short(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=DEADLINE,
        database=None,
        suppress_health_check=_ANY_SPEED,
    )


def long(examples: int) -> settings:
    """What it draws is new each time; a failure is shown with what repeats it."""
    return settings(
        max_examples=examples,
        deadline=DEADLINE,
        database=None,
        print_blob=True,
        suppress_health_check=_ANY_SPEED,
    )
