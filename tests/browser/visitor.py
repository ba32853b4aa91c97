"""Steps of a user on the demo's pages."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import BrowserContext, Page, Response, expect

from harness.rest_sessions import COOKIE

PASSWORDS = {"ada": "engine", "max": "quantum"}
NAMES = {"ada": "Ada Lovelace", "max": "Max Planck"}


def open_page(page: Page, path: str) -> Response:
    """The response that the page was loaded from."""
    response = page.goto(path)
    assert response is not None
    return response


def log_in(page: Page, user: str, password: str | None = None) -> None:
    """Fills in and sends the form of the login page."""
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password or PASSWORDS[user])
    page.get_by_role("button", name="Log in").click()


def visit_as(page: Page, user: str, path: str) -> None:
    """Requests a page, is redirected to the login, logs in, and returns to the page."""
    page.goto(path)
    expect_login_page(page, path)
    log_in(page, user)
    expect_url(page, path)
    expect(page.locator("#user")).to_have_text(NAMES[user])


def log_out(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    expect_url(page, "/")
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


def back(page: Page) -> None:
    """Does not wait for the page to load: a page from the back/forward cache does not load again."""
    page.go_back(wait_until="commit")


def expect_url(page: Page, path: str) -> None:
    """`path` is relative to the site of the browser."""
    expect(page).to_have_url(path)


def expect_login_page(page: Page, path: str) -> None:
    """Expects the login page that returns to this path."""
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    url = urlsplit(page.url)
    assert url.path == "/login"
    assert parse_qs(url.query)["next"] == [f"{url.scheme}://{url.netloc}{path}"]


def token(context: BrowserContext) -> str | None:
    """The session token that the browser has; nothing if it has none."""
    return next((cookie["value"] for cookie in context.cookies() if cookie.get("name") == COOKIE), None)


def fetch(page: Page, path: str) -> dict[str, Any]:
    """The answer to a request that a script of the page sends."""
    script = """async (path) => {
        const answer = await fetch(path);
        return { status: answer.status, redirected: answer.redirected, type: answer.headers.get("content-type"),
                 body: await answer.text() };
    }"""
    answer: dict[str, Any] = page.evaluate(script, path)
    return answer
