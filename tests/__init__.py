"""The test suite; run it with `tox -e tests` or `pytest`."""
