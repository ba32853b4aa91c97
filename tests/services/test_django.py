"""The engine edge_sessions behind a real Envoy: the demo in django/ on a WSGI and on an ASGI server."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from harness.paths import ROOT
from harness.rest_sessions import COOKIE
from harness.text import find
from tests.services.edge import Edge, edge

DJANGO = ROOT / "django"
SERVERS = {
    "WSGI": [sys.executable, "manage.py", "runserver", "--noreload", "--nothreading", "127.0.0.1:{port}"],
    "ASGI": [sys.executable, "-m", "uvicorn", "basket.asgi:application", "--port", "{port}", "--log-level", "warning"],
}
CONFIGURATION = json.loads((DJANGO / "filter.json").read_text())


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(tmp_path_factory.mktemp("site"), CONFIGURATION, SERVERS[request.param], cwd=DJANGO) as running:
        yield running


class Browser:
    """A browser with a session: it keeps cookies and sends the forms of the site."""

    def __init__(self, site: Edge, user: str = "user123", **data: Any) -> None:
        self.site = site
        self.token = site.log_in(user, **data)
        self.session = requests.Session()
        self.session.cookies.set(COOKIE, self.token, domain="127.0.0.1", path="/")

    def get_page(self) -> str:
        return self.session.get(self.site.url + "/", timeout=10).text

    def post(self, path: str, **fields: str) -> requests.Response:
        csrf_token = find(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get_page())
        form = {"csrfmiddlewaretoken": csrf_token, **fields}
        return self.session.post(self.site.url + path, data=form, timeout=10, allow_redirects=False)

    def has_token(self) -> bool:
        return COOKIE in self.session.cookies


def test_a_page_shows_the_session_data(site: Edge) -> None:
    page = Browser(site, user="j%C3%BCrgen", name="Jürgen ☃", cart=3).get_page()
    assert "The session of jürgen" in page
    assert "<dt>name</dt><dd>Jürgen ☃</dd>" in page and "<dt>cart</dt><dd>3</dd>" in page


def test_without_a_session_the_public_page_says_so_and_others_are_denied(site: Edge) -> None:
    assert "No session" in site.ask("GET", "/").text
    assert site.ask("GET", "/theme").status_code == 401


def test_the_filters_headers_sent_by_a_client_are_ignored(site: Edge) -> None:
    forged = {"x-session-status": "active", "x-session-user": "admin", "x-session-data": '{"cart":9}'}
    assert "No session" in site.ask("GET", "/", headers=forged).text


def test_the_next_request_sees_a_change_and_other_keys_stay(site: Edge) -> None:
    browser = Browser(site, name="Ada")
    for number in range(1, 4):
        answer = browser.post("/cart/add")
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        assert f"<dt>cart</dt><dd>{number}</dd>" in browser.get_page()
    assert site.data(browser.token) == {"name": "Ada", "cart": 3}


def test_one_key_is_deleted_and_other_keys_stay(site: Edge) -> None:
    browser = Browser(site, name="Ada", cart=3)
    browser.post("/cart/empty")
    assert "<dt>cart</dt>" not in browser.get_page()
    assert site.data(browser.token) == {"name": "Ada"}


def test_an_asynchronous_view_changes_the_session(site: Edge) -> None:
    browser = Browser(site)
    browser.post("/theme", theme="Käse ☃ \U0001f600 \r\nx-evil: 1")
    assert site.data(browser.token) == {"theme": "Käse ☃ \U0001f600 \r\nx-evil: 1"}
    answer = browser.session.get(site.url + "/theme", timeout=10)
    assert answer.content.decode() == "Käse ☃ \U0001f600 \r\nx-evil: 1"


def test_ending_the_session_ends_it_at_rest_sessions_and_deletes_the_cookie(site: Edge) -> None:
    browser, other = Browser(site), Browser(site)
    assert browser.post("/end").status_code == 302
    assert site.session(browser.token) == {}
    assert not browser.has_token()
    assert "No session" in site.ask("GET", "/", browser.token).text
    assert "The session of" in other.get_page()


def test_clients_never_see_the_headers_that_change_sessions(site: Edge) -> None:
    browser = Browser(site, cart=1)
    for path in ("/cart/add", "/cart/empty", "/end"):
        assert not [name for name in browser.post(path).headers if name.lower().startswith("x-session")]


def test_a_response_that_waits_for_its_change_keeps_its_headers(site: Edge) -> None:
    answer = Browser(site).post("/cart/add")
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["vary"].startswith("Cookie")
    assert "messages=" in answer.headers["set-cookie"]


def test_concurrent_changes_of_different_keys_are_both_saved(site: Edge) -> None:
    browser = Browser(site, name="Ada")
    # The first page sets Django's CSRF cookie; two concurrent first pages would set two.
    browser.get_page()
    with ThreadPoolExecutor() as pool:
        changes = [pool.submit(browser.post, "/cart/add"), pool.submit(browser.post, "/theme", theme="dark")]
        assert [change.result().status_code for change in changes] == [302, 302]
    assert site.data(browser.token) == {"name": "Ada", "cart": 1, "theme": "dark"}


# The bytes of `annotate.max_bytes` that the values of the other headers leave.
FREE_BYTES = 6144 - len("active" + "user123" + "600" + '{"theme":""}')


def test_a_session_may_be_as_large_as_the_filter_can_pass_on(site: Edge) -> None:
    browser = Browser(site)
    assert browser.post("/theme", theme="a" * FREE_BYTES).status_code == 302
    assert "The session of user123" in browser.get_page()
    assert len(site.data(browser.token)["theme"]) == FREE_BYTES


def test_a_change_that_makes_the_session_too_large_fails_and_changes_nothing(site: Edge) -> None:
    browser = Browser(site, theme="light")
    assert browser.post("/theme", theme="a" * (FREE_BYTES + 1)).status_code == 500
    assert "The session of user123" in browser.get_page()
    assert site.data(browser.token) == {"theme": "light"}
    assert "The session of" not in site.ask("GET", "/", site.log_in(theme="a" * (FREE_BYTES + 1))).text


def test_a_page_that_uses_the_session_fails_if_requests_bypass_the_filter(site: Edge) -> None:
    assert requests.get(site.service_url + "/", timeout=10).status_code == 500
