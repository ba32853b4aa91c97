"""A real browser, and the demo that it visits: once with one worker of Envoy, once with two."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from harness.demo import Demo, running_demo
from tests.browser.chromium import FLAGS, LEFT_OUT, NO_CHROMIUM

NewBrowser = Callable[..., BrowserContext]
TIMEOUT_MS = 30_000
# Long, since the machine may be busy and speed is not tested here.
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    binary = os.environ.get("CHROMIUM_BIN")
    if not binary:
        pytest.skip(NO_CHROMIUM)
    with sync_playwright() as playwright:
        # Its profile is a new folder that is deleted with it.
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS, ignore_default_args=LEFT_OUT)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("demo"), "--concurrency", str(request.param)) as running:
        yield running


@pytest.fixture
def site(demo: Demo) -> str:
    return demo.here("http://localhost:10000")


@pytest.fixture
def new_browser(browser: Browser, site: str) -> Iterator[NewBrowser]:
    """Opens browsers that share neither cookies nor cached pages, as on two devices."""
    opened = []

    def open_one(**options: Any) -> BrowserContext:
        context = browser.new_context(base_url=site, **options)
        context.set_default_timeout(TIMEOUT_MS)
        opened.append(context)
        return context

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture
def page(new_browser: NewBrowser) -> Page:
    """A page in a new browser."""
    return new_browser().new_page()
