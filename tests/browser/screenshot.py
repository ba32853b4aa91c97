"""Takes the picture that README shows, `make screenshot`: the demo's account page in a new browser."""

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, expect, sync_playwright

from harness.demo import running_demo
from harness.paths import ROOT
from tests.browser.chromium import FLAGS, NO_CHROMIUM
from tests.browser.visitor import visit_as

PICTURE = ROOT / "envoy" / "demo" / "screenshot.png"
SIZE: ViewportSize = {"width": 1000, "height": 740}


def take(binary: str, site: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        context = browser.new_context(base_url=site, viewport=SIZE, color_scheme="light", locale="en-GB")
        page = context.new_page()
        visit_as(page, "ada", "/account?tab=orders&page=2")
        expect(page.locator("#api [data-show=status]")).to_have_text("200 OK")
        expect(page.locator("#ticks [data-show=tick]")).to_have_text("2")
        page.screenshot(path=PICTURE)
        browser.close()


def main() -> int:
    binary = os.environ.get("CHROMIUM_BIN")
    if not binary:
        print(f"make screenshot: {NO_CHROMIUM}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, running_demo(Path(folder)) as demo:
        take(binary, demo.here("http://localhost:10000"))
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
