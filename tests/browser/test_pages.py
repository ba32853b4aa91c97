"""The demo's pages themselves: they fit a phone, keep to their own policy, and can be used without seeing or pointing."""

import pytest
from playwright.sync_api import expect

import support
from visitor import log_in, visit_as

PAGES = ["/", "/products/1", "/account?tab=orders", "/checkout", "/admin", "/nowhere", "/login"]
# A small phone, in CSS pixels.
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module", params=[1], ids=["1 worker"])
def demo(browser, tmp_path_factory, request):
    """What the pages look like does not depend on how many workers there are."""
    with support.demo(tmp_path_factory.mktemp("demo"), "--concurrency", str(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def cookies(browser, demo):
    """Of one login, for all tests that only look at pages."""
    context = browser.new_context(base_url=demo.here("http://localhost:10000"))
    visit_as(context.new_page(), "ada", "/account")
    yield context.storage_state()
    context.close()


@pytest.fixture
def phone(new_browser, cookies):
    return new_browser(storage_state=cookies, **PHONE).new_page()


@pytest.mark.parametrize("path", PAGES)
def test_nothing_stands_out_over_the_edge_of_a_phone(phone, path):
    phone.goto(path)
    expect(phone.get_by_role("main")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]


@pytest.mark.parametrize("path", PAGES)
def test_what_is_to_be_touched_is_large_enough_for_a_finger(phone, path):
    phone.goto(path)
    for button in phone.locator("button, input:not([type=hidden]), nav a").all():
        assert button.bounding_box()["height"] >= 44, button.inner_text()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_keeps_to_its_own_policy_and_its_script_fails_nowhere(new_browser, cookies, path):
    page = new_browser(storage_state=cookies).new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(path)
    expect(page.get_by_role("main")).to_be_visible()
    page.wait_for_load_state("networkidle")
    # That /nowhere is nowhere the browser says itself.
    assert [text for text in complaints if "404" not in text] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_texts_stand_out_from_their_ground(new_browser, cookies, path, scheme):
    """WCAG 2.2, 1.4.3: a contrast of 4.5."""
    page = new_browser(storage_state=cookies, color_scheme=scheme).new_page()
    page.goto(path)
    assert page.evaluate(PALE_TEXTS) == []


# Each text with the colour that lies behind it; gradients have no text on them.
PALE_TEXTS = """() => {
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
    const pale = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
        const levels = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => b - a);
        const contrast = (levels[0] + 0.05) / (levels[1] + 0.05);
        if (contrast < 4.5) pale.push(`${texts.currentNode.data.trim()}: ${contrast.toFixed(2)}`);
    }
    return pale;
}"""


def test_one_can_log_in_with_the_keyboard_alone(page):
    page.goto("/login?next=/account")
    expect(page.get_by_label("User")).to_be_focused()
    page.keyboard.type("max")
    page.keyboard.press("Tab")
    page.keyboard.type("quantum")
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_have_text("Max Planck")


def test_the_first_key_offers_to_skip_the_banner(page):
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_a_refused_login_is_announced_and_keeps_what_was_typed_but_the_password(page):
    page.goto("/login")
    log_in(page, "max", password="wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("User")).to_have_value("max")
    expect(page.get_by_label("Password")).to_have_value("")
