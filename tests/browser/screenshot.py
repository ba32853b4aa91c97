"""The picture that README shows: the account's page of the demo, just visited. `make screenshot` takes it anew."""

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

import support  # noqa: E402
from chromium import FLAGS, NO_CHROMIUM  # noqa: E402
from visitor import visit_as  # noqa: E402

PICTURE = support.ROOT / "envoy" / "demo" / "screenshot.png"
SIZE = {"width": 1000, "height": 740}


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
    with tempfile.TemporaryDirectory() as folder, support.demo(Path(folder)) as demo:
        take(binary, demo.here("http://localhost:10000"))
    print(f"{PICTURE.relative_to(support.ROOT)}: {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
