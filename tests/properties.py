"""How Hypothesis searches in these tests: the same examples in every run, and few enough for a quick one."""

from hypothesis import HealthCheck, settings

searched = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""A decorator for a test with `hypothesis.given`. All examples share one `tmp_path`: each overwrites the files of the last."""
