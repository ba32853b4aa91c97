"""The way of a user through the demo, in a real browser, with one worker of Envoy and with two."""

import json
import time

import pytest
import requests
from playwright.sync_api import Page, Request, expect

from harness.demo import Demo
from harness.rest_sessions import COOKIE, RestSessions
from tests.browser.conftest import NewBrowser
from tests.browser.visitor import (
    PASSWORDS,
    back,
    expect_login_page,
    expect_url,
    fetch,
    log_in,
    log_out,
    open_page,
    token,
    visit_as,
)

ACCOUNT = "/account?tab=orders&page=2"
TIMEOUT_SECONDS = 10


def test_a_member_logs_in_uses_the_shop_and_logs_out_while_a_second_browser_stays_logged_in(
    new_browser: NewBrowser, page: Page
) -> None:
    other = new_browser().new_page()
    visit_as(other, "max", "/account")
    visit_as(page, "max", ACCOUNT)
    expect(page.locator("#url")).to_have_text(ACCOUNT)
    expect(page.locator("#api [data-show=status]")).to_have_text("200 OK")
    expect(page.locator("#ticks [data-show=status]")).to_have_text("Connected as Max Planck (max)")
    assert open_page(page, "/admin").status == 403
    page.goto(ACCOUNT)
    log_out(page)
    back(page)
    expect_login_page(page, ACCOUNT)
    page.reload()
    expect_login_page(page, ACCOUNT)
    other.reload()
    expect(other.locator("#name")).to_have_text("Max Planck")


def test_a_members_page_redirects_to_the_login_which_returns_with_the_query(page: Page) -> None:
    page.goto(ACCOUNT)
    expect_login_page(page, ACCOUNT)
    log_in(page, "max")
    expect_url(page, ACCOUNT)
    expect(page.locator("#name")).to_have_text("Max Planck")
    expect(page.locator("#role")).to_have_text("member")
    expect(page.locator("#url")).to_have_text(ACCOUNT)


def test_the_cookie_is_for_this_host_alone_and_hidden_from_scripts(page: Page) -> None:
    visit_as(page, "max", "/account")
    (cookie,) = page.context.cookies()
    shown = {key: cookie[key] for key in ("name", "domain", "path", "expires", "httpOnly", "secure", "sameSite")}
    assert shown == {
        "name": COOKIE,
        "domain": "localhost",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": True,
        "sameSite": "Lax",
    }
    assert page.evaluate("document.cookie") == ""


def test_a_script_of_the_page_gets_the_session(page: Page) -> None:
    visit_as(page, "max", "/account")
    api = page.locator("#api")
    expect(api.locator("[data-show=status]")).to_have_text("200 OK")
    me = json.loads(api.locator("[data-show=body]").inner_text())
    assert (me["user"], me["name"], me["role"]) == ("max", "Max Planck", "member")


def test_a_websocket_of_the_page_opens_and_ticks(page: Page) -> None:
    visit_as(page, "max", "/account")
    ticks = page.locator("#ticks")
    expect(ticks.locator("[data-show=status]")).to_have_text("Connected as Max Planck (max)")
    expect(ticks.locator("[data-show=tick]")).to_have_text("3")


def test_without_a_session_a_script_gets_401_as_json_and_no_redirect(page: Page) -> None:
    page.goto("/")
    answer = fetch(page, "/api/me")
    assert (answer["status"], answer["type"], answer["redirected"]) == (401, "application/json", False)
    assert json.loads(answer["body"])["error"] == "session_required"


def test_without_a_session_no_websocket_opens(page: Page) -> None:
    page.goto("/")
    opened = page.evaluate(
        """() => new Promise((resolve) => {
            const socket = new WebSocket(`ws://${location.host}/ws/ticks`);
            socket.onopen = () => resolve(true);
            socket.onclose = () => resolve(false);
        })"""
    )
    assert opened is False


def test_a_public_page_greets_a_logged_in_user_by_name(page: Page) -> None:
    page.goto("/products/1")
    page.get_by_role("banner").get_by_role("link", name="Log in").click()
    log_in(page, "ada")
    expect_url(page, "/products/1")
    expect(page.locator("#user")).to_have_text("Ada Lovelace")


def test_a_member_gets_403_for_the_administrators_page(page: Page) -> None:
    visit_as(page, "max", "/account")
    answer = open_page(page, "/admin")
    assert answer.status == 403
    assert answer.json()["error"] == "forbidden"
    page.goto("/account")
    expect(page.locator("#name")).to_have_text("Max Planck")


def test_an_administrator_gets_the_administrators_page(page: Page) -> None:
    visit_as(page, "ada", "/admin")
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()


def test_a_wrong_password_creates_no_session(page: Page) -> None:
    page.goto("/account")
    log_in(page, "max", password="engine")
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    assert token(page.context) is None
    log_in(page, "max")
    expect_url(page, "/account")


def test_after_logging_out_neither_back_nor_reload_shows_the_page(page: Page) -> None:
    visit_as(page, "max", ACCOUNT)
    log_out(page)
    assert token(page.context) is None
    back(page)
    expect_login_page(page, ACCOUNT)
    page.reload()
    expect_login_page(page, ACCOUNT)
    assert "Max Planck" not in page.locator("header").inner_text()


@pytest.mark.parametrize("path", ["/products/1", "/checkout"])
def test_after_logging_out_back_shows_no_page_from_the_back_forward_cache(page: Page, path: str) -> None:
    """Chromium keeps pages without a WebSocket for Back until a cookie changes, even with `no-store`."""
    visit_as(page, "max", "/account")
    page.goto(path)
    log_out(page)
    back(page)
    expect(page.get_by_role("button", name="Log out")).to_have_count(0)
    assert "Max Planck" not in page.locator("header").inner_text()


def test_logging_out_leaves_a_second_browser_of_the_user_logged_in(new_browser: NewBrowser, page: Page) -> None:
    other = new_browser().new_page()
    visit_as(page, "max", "/account")
    visit_as(other, "max", "/account")
    log_out(page)
    other.reload()
    expect(other.locator("#name")).to_have_text("Max Planck")
    expect(other.locator("#api [data-show=status]")).to_have_text("200 OK")


def test_after_logging_out_in_another_tab_an_open_page_gets_401_from_its_api(page: Page) -> None:
    visit_as(page, "max", "/account")
    api = page.locator("#api")
    expect(api.locator("[data-show=status]")).to_have_text("200 OK")
    other_tab = page.context.new_page()
    other_tab.goto("/")
    log_out(other_tab)
    api.get_by_role("button", name="Ask again").click()
    expect(api.locator("[data-show=status]")).to_have_text("401 Unauthorized")
    expect(api.locator("[data-show=body]")).to_contain_text("session_required")
    api.get_by_role("link", name="Log in again").click()
    log_in(page, "max")
    expect_url(page, "/account")


def test_an_open_websocket_is_closed_once_its_user_has_logged_out(page: Page) -> None:
    visit_as(page, "max", "/account")
    status = page.locator("#ticks [data-show=status]")
    expect(status).to_have_text("Connected as Max Planck (max)")
    other_tab = page.context.new_page()
    other_tab.goto("/")
    log_out(other_tab)
    expect(status).to_have_text("Disconnected: the session has ended")


def status_with(site: str, path: str, session: str) -> int:
    """The status of a request with a token. Each has a connection of its own, which any worker may accept."""
    headers = {"cookie": f"{COOKIE}={session}"}
    return requests.get(site + path, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False).status_code


def test_after_logging_out_every_worker_rejects_the_old_token(page: Page, site: str) -> None:
    visit_as(page, "max", "/account")
    kept = token(page.context)
    assert kept is not None
    # With so many requests, every worker has the session in its cache.
    assert {status_with(site, "/api/me", kept) for _ in range(20)} == {200}
    log_out(page)
    assert {status_with(site, "/api/me", kept) for _ in range(20)} == {401}


def test_the_checkout_redirects_to_the_login_if_the_last_one_is_too_old(page: Page, demo: Demo, site: str) -> None:
    sessions = RestSessions(demo.here("127.0.0.1:3000"), demo.secret())
    an_hour_ago = int(time.time()) - 3600
    session = sessions.create("max", {"name": "Max Planck", "role": "member", "auth_time": an_hour_ago})
    page.context.add_cookies([{"name": COOKIE, "value": session, "url": site, "httpOnly": True, "sameSite": "Lax"}])
    page.goto("/account")
    expect(page.locator("#name")).to_have_text("Max Planck")
    page.goto("/checkout")
    expect_login_page(page, "/checkout")
    log_in(page, "max")
    expect_url(page, "/checkout")
    expect(page.get_by_role("heading", name="Checkout")).to_be_visible()
    assert token(page.context) != session


def test_a_page_of_another_site_cannot_log_its_visitors_in_at_this_one(
    new_browser: NewBrowser, demo: Demo, site: str
) -> None:
    """The host name 127.0.0.1 makes it another site. `bypass_csp` lets its pages send forms to this one."""
    elsewhere = demo.here("http://127.0.0.1:10000")
    foreign = new_browser(bypass_csp=True).new_page()
    foreign.goto(elsewhere + "/")
    with foreign.expect_navigation() as navigation:
        foreign.evaluate(
            """([url, user, password]) => {
                const form = document.createElement("form");
                form.method = "post";
                form.action = url;
                for (const [name, value] of Object.entries({ user, password })) {
                    const input = document.createElement("input");
                    input.name = name;
                    input.value = value;
                    form.append(input);
                }
                document.body.append(form);
                form.submit();
            }""",
            [f"{site}/login", "max", PASSWORDS["max"]],
        )
    assert navigation.value.status == 403
    assert navigation.value.json()["error"] == "bad_origin"
    assert token(foreign.context) is None


def test_forms_of_a_site_with_referrer_policy_no_referrer_log_in_and_out(page: Page) -> None:
    """Helmet sets this policy by default. Chromium then sends `Origin: null` with the site's own forms."""

    def open_with_policy(path: str) -> None:
        page.goto(path)
        page.evaluate(
            """() => {
                const policy = document.createElement("meta");
                policy.name = "referrer";
                policy.content = "no-referrer";
                document.head.append(policy);
            }"""
        )

    def is_form(request: Request) -> bool:
        return request.method == "POST"

    open_with_policy("/login")
    with page.expect_request(is_form) as login:
        log_in(page, "max")
    expect(page.locator("#user")).to_have_text("Max Planck")
    open_with_policy("/")
    with page.expect_request(is_form) as logout:
        log_out(page)
    for sent in (login, logout):
        headers = sent.value.all_headers()
        assert (headers["origin"], headers["sec-fetch-site"]) == ("null", "same-origin")
    assert token(page.context) is None


def test_a_login_does_not_return_to_another_site(page: Page) -> None:
    page.goto("/login?next=https%3A%2F%2Fevil.example%2F")
    log_in(page, "max")
    expect_url(page, "/")
    expect(page.locator("#user")).to_have_text("Max Planck")
