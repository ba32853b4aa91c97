"""A person's way through the demo, in a real browser, with one worker of Envoy and with two."""

import json
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

import visitor
from visitor import COOKIE, expect_to_be_asked_to_log_in, expect_url, fetch, log_in, log_out, token, visit_as

ACCOUNT = "/account?tab=orders&page=2"


def test_a_member_goes_the_whole_way_and_another_browser_of_his_goes_on(new_browser, page):
    other = new_browser().new_page()
    visit_as(other, "max", "/account")
    visit_as(page, "max", ACCOUNT)
    expect(page.locator("#url")).to_have_text(ACCOUNT)
    expect(page.locator("#api [data-show=status]")).to_have_text("200 OK")
    expect(page.locator("#ticks [data-show=status]")).to_have_text("Connected as Max Planck (max)")
    assert page.goto("/admin").status == 403
    page.goto(ACCOUNT)
    log_out(page)
    visitor.back(page)
    expect_to_be_asked_to_log_in(page, ACCOUNT)
    page.reload()
    expect_to_be_asked_to_log_in(page, ACCOUNT)
    other.reload()
    expect(other.locator("#name")).to_have_text("Max Planck")


def test_a_members_page_asks_to_log_in_and_comes_back_with_its_query(page):
    page.goto(ACCOUNT)
    expect_to_be_asked_to_log_in(page, ACCOUNT)
    log_in(page, "max")
    expect_url(page, ACCOUNT)
    expect(page.locator("#name")).to_have_text("Max Planck")
    expect(page.locator("#role")).to_have_text("member")
    expect(page.locator("#url")).to_have_text(ACCOUNT)


def test_the_cookie_is_for_this_host_alone_and_no_script_reads_it(page):
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


def test_a_script_of_the_page_is_answered_with_the_session(page):
    visit_as(page, "max", "/account")
    api = page.locator("#api")
    expect(api.locator("[data-show=status]")).to_have_text("200 OK")
    me = json.loads(api.locator("[data-show=body]").inner_text())
    assert (me["user"], me["name"], me["role"]) == ("max", "Max Planck", "member")


def test_a_websocket_of_the_page_opens_and_ticks(page):
    visit_as(page, "max", "/account")
    ticks = page.locator("#ticks")
    expect(ticks.locator("[data-show=status]")).to_have_text("Connected as Max Planck (max)")
    expect(ticks.locator("[data-show=tick]")).to_have_text("3")


def test_without_a_session_a_script_gets_401_in_json_and_no_login_page(page):
    page.goto("/")
    answer = fetch(page, "/api/me")
    assert (answer["status"], answer["type"], answer["redirected"]) == (401, "application/json", False)
    assert json.loads(answer["body"])["error"] == "session_required"


def test_without_a_session_no_websocket_opens(page):
    page.goto("/")
    opened = page.evaluate(
        """() => new Promise((resolve) => {
            const socket = new WebSocket(`ws://${location.host}/ws/ticks`);
            socket.onopen = () => resolve(true);
            socket.onclose = () => resolve(false);
        })"""
    )
    assert opened is False


def test_a_public_page_greets_by_name_whoever_is_logged_in(page):
    page.goto("/products/1")
    page.get_by_role("banner").get_by_role("link", name="Log in").click()
    log_in(page, "ada")
    expect_url(page, "/products/1")
    expect(page.locator("#user")).to_have_text("Ada Lovelace")


def test_a_member_is_refused_the_administrators_page(page):
    visit_as(page, "max", "/account")
    answer = page.goto("/admin")
    assert answer.status == 403
    assert answer.json()["error"] == "forbidden"
    page.goto("/account")
    expect(page.locator("#name")).to_have_text("Max Planck")


def test_an_administrator_is_let_in(page):
    visit_as(page, "ada", "/admin")
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()


def test_a_wrong_password_gets_nobody_in(page):
    page.goto("/account")
    log_in(page, "max", password="engine")
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    assert token(page.context) is None
    log_in(page, "max")
    expect_url(page, "/account")


def test_after_logging_out_neither_back_nor_reload_shows_the_page(page):
    visit_as(page, "max", ACCOUNT)
    log_out(page)
    assert token(page.context) is None
    visitor.back(page)
    expect_to_be_asked_to_log_in(page, ACCOUNT)
    page.reload()
    expect_to_be_asked_to_log_in(page, ACCOUNT)
    assert "Max Planck" not in page.locator("header").inner_text()


@pytest.mark.parametrize("path", ["/products/1", "/checkout"])
def test_back_shows_no_page_that_could_have_been_kept(page, path):
    """Pages without a WebSocket: Chromium keeps these for Back, for all their no-store, until a cookie changes."""
    visit_as(page, "max", "/account")
    page.goto(path)
    log_out(page)
    visitor.back(page)
    expect(page.get_by_role("button", name="Log out")).to_have_count(0)
    assert "Max Planck" not in page.locator("header").inner_text()


def test_a_second_browser_of_the_same_user_is_still_in(new_browser, page):
    other = new_browser().new_page()
    visit_as(page, "max", "/account")
    visit_as(other, "max", "/account")
    log_out(page)
    other.reload()
    expect(other.locator("#name")).to_have_text("Max Planck")
    expect(other.locator("#api [data-show=status]")).to_have_text("200 OK")


def test_an_open_page_learns_from_its_api_that_one_has_logged_out_in_another_tab(page):
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


def test_an_open_websocket_is_closed_once_its_user_has_logged_out(page):
    visit_as(page, "max", "/account")
    told = page.locator("#ticks [data-show=status]")
    expect(told).to_have_text("Connected as Max Planck (max)")
    other_tab = page.context.new_page()
    other_tab.goto("/")
    log_out(other_tab)
    expect(told).to_have_text("Disconnected: the session has ended")


def status_with(site: str, path: str, session: str) -> int:
    """Of a request with a token, over a connection of its own, at whichever worker takes it."""
    request = urllib.request.Request(site + path, headers={"cookie": f"{COOKIE}={session}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_token_that_somebody_kept_is_worth_nothing_at_any_worker_once_its_user_logged_out(page, site):
    visit_as(page, "max", "/account")
    kept = token(page.context)
    # Often enough that every worker has the session in its cache.
    assert {status_with(site, "/api/me", kept) for _ in range(20)} == {200}
    log_out(page)
    assert {status_with(site, "/api/me", kept) for _ in range(20)} == {401}


def test_a_login_that_is_too_old_is_asked_for_once_more_at_the_checkout(page, demo, site):
    session = create_session(demo, {"name": "Max Planck", "role": "member", "auth_time": int(time.time()) - 3600})
    page.context.add_cookies([{"name": COOKIE, "value": session, "url": site, "httpOnly": True, "sameSite": "Lax"}])
    page.goto("/account")
    expect(page.locator("#name")).to_have_text("Max Planck")
    page.goto("/checkout")
    expect_to_be_asked_to_log_in(page, "/checkout")
    log_in(page, "max")
    expect_url(page, "/checkout")
    expect(page.get_by_role("heading", name="Checkout")).to_be_visible()
    assert token(page.context) != session


def create_session(demo, data: dict) -> str:
    request = urllib.request.Request(
        demo.here("http://localhost:3000/mywebapp/create/max?ip=127.0.0.1"),
        data=json.dumps(data).encode(),
        headers={"content-type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["token"]


def test_a_page_of_another_site_cannot_log_its_visitors_in_here(new_browser, demo, site):
    """Another site by its name, 127.0.0.1, whose pages may do what they like."""
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
            [f"{site}/login", "max", visitor.PASSWORDS["max"]],
        )
    assert navigation.value.status == 403
    assert navigation.value.json()["error"] == "bad_origin"
    assert token(foreign.context) is None


def test_a_login_returns_to_no_foreign_page(page, site):
    page.goto("/login?next=https%3A%2F%2Fevil.example%2F")
    log_in(page, "max")
    expect_url(page, "/")
    expect(page.locator("#user")).to_have_text("Max Planck")
