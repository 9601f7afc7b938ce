from tests.archiving import archive, old_days  # noqa: F401  fixtures
