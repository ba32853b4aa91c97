"""A real browser, and the demo that it visits: with one worker of Envoy, and again with two."""

import os
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# The demo is started and ended here as it is there.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

import support  # noqa: E402
from chromium import FLAGS, LEFT_OUT, NO_CHROMIUM  # noqa: E402

# A machine that does much else at the same time is slow, and nothing here is about speed.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser():
    binary = os.environ.get("CHROMIUM_BIN")
    if not binary:
        pytest.skip(NO_CHROMIUM)
    with sync_playwright() as playwright:
        # Its profile is a new folder, which goes with it.
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS, ignore_default_args=LEFT_OUT)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def demo(browser, tmp_path_factory, request):
    with support.demo(tmp_path_factory.mktemp("demo"), "--concurrency", str(request.param)) as running:
        yield running


@pytest.fixture
def site(demo) -> str:
    return demo.here("http://localhost:10000")


@pytest.fixture
def new_browser(browser: Browser, site: str):
    """Opens browsers that share nothing, as those of two devices: neither cookies nor pages that they keep."""
    opened = []

    def open_one(**options) -> BrowserContext:
        context = browser.new_context(base_url=site, **options)
        context.set_default_timeout(30_000)
        opened.append(context)
        return context

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture
def page(new_browser) -> Page:
    """A page in a browser that has never been here."""
    return new_browser().new_page()
