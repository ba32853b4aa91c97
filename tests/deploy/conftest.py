"""The demo for the tests of this folder."""

import os
from collections.abc import Iterator

import pytest

from harness.demo import Demo, running_demo

# These tests run below make, and run make as a user does: its variables must not reach the inner make.
for variable in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
    os.environ.pop(variable, None)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all tests that only send requests to it."""
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running
