"""Fixtures for the tests of this folder."""

import pytest

import support


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """One demo for all tests that only send requests to it."""
    with support.demo(tmp_path_factory.mktemp("demo")) as running:
        yield running
