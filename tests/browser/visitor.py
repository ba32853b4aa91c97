"""What a person does on the demo's pages."""

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import BrowserContext, Page, expect

COOKIE = "session-cookie"
PASSWORDS = {"ada": "engine", "max": "quantum"}
NAMES = {"ada": "Ada Lovelace", "max": "Max Planck"}


def log_in(page: Page, user: str, password: str | None = None) -> None:
    """On the login page, wherever it leads."""
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password or PASSWORDS[user])
    page.get_by_role("button", name="Log in").click()


def visit_as(page: Page, user: str, path: str) -> None:
    """Asks for a page, is sent to log in, does so, and is back at the page that was asked for."""
    page.goto(path)
    expect_to_be_asked_to_log_in(page, path)
    log_in(page, user)
    expect_url(page, path)
    expect(page.locator("#user")).to_have_text(NAMES[user])


def log_out(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    expect_url(page, "/")
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


def back(page: Page) -> None:
    """Not until the page has loaded: one that the browser has kept would not load again."""
    page.go_back(wait_until="commit")


def expect_url(page: Page, path: str) -> None:
    """Of its own site: scheme, host and port are those that the browser began with."""
    expect(page).to_have_url(path)


def expect_to_be_asked_to_log_in(page: Page, path: str) -> None:
    """The login page, which leads to this path."""
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    url = urlsplit(page.url)
    assert url.path == "/login"
    assert parse_qs(url.query)["next"] == [f"{url.scheme}://{url.netloc}{path}"]


def token(context: BrowserContext) -> str | None:
    return next((cookie["value"] for cookie in context.cookies() if cookie["name"] == COOKIE), None)


def fetch(page: Page, path: str) -> dict:
    """As a script of the page does."""
    script = """async (path) => {
        const answer = await fetch(path);
        return { status: answer.status, redirected: answer.redirected, type: answer.headers.get("content-type"),
                 body: await answer.text() };
    }"""
    return page.evaluate(script, path)
