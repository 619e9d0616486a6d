"""Settings of every test: property tests draw the same examples each time and have no deadline."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "evenly", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("evenly")
