"""The demo's pages: they fit a phone, obey their own content security policy, and are accessible."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState, ViewportSize, expect

from harness.demo import Demo, running_demo
from tests.browser.conftest import NewBrowser
from tests.browser.visitor import log_in, visit_as

PAGES = ["/", "/products/1", "/account?tab=orders", "/checkout", "/admin", "/nowhere", "/login"]
# A small phone, in CSS pixels.
PHONE: ViewportSize = {"width": 320, "height": 640}
# WCAG 2.2, 2.5.5: the smallest target for a finger, in CSS pixels.
TARGET = 44


@pytest.fixture(scope="module", params=[1], ids=["1 worker"])
def demo(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The look of the pages does not depend on the number of workers."""
    with running_demo(tmp_path_factory.mktemp("demo"), "--concurrency", str(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def cookies(browser: Browser, demo: Demo) -> Iterator[StorageState]:
    """The cookies of one login, for all tests that only look at pages."""
    context = browser.new_context(base_url=demo.here("http://localhost:10000"))
    visit_as(context.new_page(), "ada", "/account")
    yield context.storage_state()
    context.close()


@pytest.fixture
def phone(new_browser: NewBrowser, cookies: StorageState) -> Page:
    return new_browser(storage_state=cookies, viewport=PHONE, has_touch=True, is_mobile=True).new_page()


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_no_wider_than_a_phone(phone: Page, path: str) -> None:
    phone.goto(path)
    expect(phone.get_by_role("main")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("path", PAGES)
def test_controls_are_large_enough_for_a_finger(phone: Page, path: str) -> None:
    phone.goto(path)
    for button in phone.locator("button, input:not([type=hidden]), nav a").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= TARGET, button.inner_text()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_obeys_its_content_security_policy_and_its_script_has_no_error(
    new_browser: NewBrowser, cookies: StorageState, path: str
) -> None:
    page = new_browser(storage_state=cookies).new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(path)
    expect(page.get_by_role("main")).to_be_visible()
    page.wait_for_load_state("networkidle")
    # The browser itself logs the 404 of /nowhere.
    assert [text for text in errors if "404" not in text] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_texts_have_enough_contrast(new_browser: NewBrowser, cookies: StorageState, path: str, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5."""
    page = new_browser(storage_state=cookies, color_scheme=scheme).new_page()
    page.goto(path)
    assert page.evaluate(LOW_CONTRAST_TEXTS) == []


# Lists each text with too little contrast to the colour behind it. No text is on a gradient.
LOW_CONTRAST_TEXTS = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = parts(colour).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (parts(colour)[3] !== 0) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const low = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
        const levels = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => b - a);
        const contrast = (levels[0] + 0.05) / (levels[1] + 0.05);
        if (contrast < 4.5) low.push(`${texts.currentNode.data.trim()}: ${contrast.toFixed(2)}`);
    }
    return low;
}"""


def test_the_login_works_with_the_keyboard_alone(page: Page) -> None:
    page.goto("/login?next=/account")
    expect(page.get_by_label("User")).to_be_focused()
    page.keyboard.type("max")
    page.keyboard.press("Tab")
    page.keyboard.type("quantum")
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_have_text("Max Planck")


def test_the_first_tab_stop_skips_the_banner(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_a_failed_login_is_announced_and_keeps_the_user_but_not_the_password(page: Page) -> None:
    page.goto("/login")
    log_in(page, "max", password="wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("User")).to_have_value("max")
    expect(page.get_by_label("Password")).to_have_value("")
