"""`request.session`: what it reads from the request's headers, and the headers that it adds to the response."""

import asyncio
import enum
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils import timezone
from django.utils.safestring import mark_safe

from edge_sessions import NoSession, OwnedByTheEdge, SessionStore, SessionUnavailable
from edge_sessions.testing import TOKEN, session_headers

Use = Callable[[SessionStore], object]


def active(*, user: str = "user123", **data: Any) -> SessionStore:
    return SessionStore(TOKEN, session_headers(user, **data))


def without_session(status: str = "none") -> SessionStore:
    return SessionStore(TOKEN, {"x-session-status": status})


def saved(session: SessionStore) -> Any:
    session.save()
    return json.loads(session.response_headers.get("x-session-set", "null"))


# Reading


def test_the_store_reads_the_headers_of_the_filter() -> None:
    session = SessionStore(
        TOKEN,
        {
            "x-session-status": "active",
            "x-session-user": "j%C3%BCrgen 100%25",
            "x-session-data": '{"name":"J\\u00fcrgen \\u2603","cart":3,"rate":1.10,"vip":true}',
        },
    )
    assert session.user == "jürgen 100%"
    assert dict(session.items()) == {"name": "Jürgen ☃", "cart": 3, "rate": 1.1, "vip": True}
    assert (session["cart"], session.get("other", 7), "vip" in session, session.has_key("x")) == (3, 7, True, False)
    assert session.accessed and not session.modified


def test_a_session_without_data_is_not_empty_and_no_session_is() -> None:
    assert not active().is_empty()
    assert active().status == "active"
    for status in ("none", "unavailable"):
        session = without_session(status)
        assert (session.status, session.is_empty(), session.user, session.get("cart")) == (status, True, None, None)


def test_no_header_is_read_before_the_session_is_used() -> None:
    session = SessionStore(TOKEN, {})
    assert not session.accessed
    assert session.response_headers == {}


@pytest.mark.parametrize("look", [lambda s: s.get("x"), lambda s: s.status, lambda s: s.user, lambda s: s.is_empty()])
def test_every_read_marks_the_session_as_accessed(look: Use) -> None:
    session = active()
    look(session)
    assert session.accessed


@pytest.mark.parametrize("headers", [{}, {"x-session-user": "u", "x-session-data": "{}"}, {"x-session-status": "yes"}])
@pytest.mark.parametrize(
    "use",
    [lambda s: s.get("x"), lambda s: s.update({"x": 1}), lambda s: s.flush(), lambda s: s.status, lambda s: s.user],
)
def test_without_the_filter_the_error_names_the_missing_configuration(headers: dict[str, str], use: Use) -> None:
    with pytest.raises(ImproperlyConfigured, match='`annotate.headers` .* have "x-session-status": "status"'):
        use(SessionStore(TOKEN, headers))


@pytest.mark.parametrize(("header", "field"), [("x-session-user", "id"), ("x-session-data", "d")])
def test_a_missing_header_is_named_in_the_error(header: str, field: str) -> None:
    headers = session_headers()
    del headers[header]
    session = SessionStore(TOKEN, headers)
    with pytest.raises(ImproperlyConfigured, match=f'came without {header}.*must have "{header}": "{field}"'):
        assert (session.user, session.get("x")) is None


@pytest.mark.parametrize("data", ["", "{", "[]", "null", "7"])
def test_malformed_data_raises_an_error_that_does_not_show_it(data: str) -> None:
    session = SessionStore(TOKEN, {**session_headers(), "x-session-data": data})
    with pytest.raises(ImproperlyConfigured, match="^x-session-data is not a JSON object"):
        session.get("x")


def test_a_session_without_a_request_raises_and_names_the_middleware() -> None:
    with pytest.raises(ImproperlyConfigured, match="MIDDLEWARE must name edge_sessions.SessionMiddleware"):
        SessionStore().get("x")


# Changing


def test_only_changed_and_deleted_keys_are_sent() -> None:
    session = active(name="Ada", cart=3, tmp="x", old=1)
    session["cart"] = 4
    session["theme"] = "dark"
    session["name"] = "Ada"
    del session["tmp"]
    assert session.pop("old") == 1
    assert session.modified
    assert saved(session) == {"cart": 4, "theme": "dark", "tmp": None, "old": None}


def test_a_change_that_was_undone_is_not_sent() -> None:
    session = active(cart=3)
    session["cart"] = 4
    session["new"] = 1
    session.save()
    session["cart"] = 3
    del session["new"]
    session.save()
    assert session.response_headers == {}


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, False), ("1", 1), (True, 1)])
def test_values_are_compared_as_json(before: object, after: object) -> None:
    session = active(x=before)
    session["x"] = after
    sent = saved(session)["x"]
    assert (type(sent), sent) == (type(after), after)


def test_changes_are_sent_as_compact_ascii() -> None:
    session = active()
    session["name"] = "Jürgen ☃\r\nx-evil: 1"
    session.save()
    assert session.response_headers == {"x-session-set": r'{"name":"J\u00fcrgen \u2603\r\nx-evil: 1"}'}


def test_every_way_to_set_a_value_works() -> None:
    session = active(a=1)
    session.update({"b": 2})
    assert session.setdefault("a", 9) == 1
    assert session.setdefault("c", 3) == 3
    session.set_test_cookie()
    assert session.test_cookie_worked()
    assert saved(session) == {"b": 2, "c": 3, "testcookie": "worked"}


def test_the_asynchronous_methods_do_the_same() -> None:
    async def use(session: SessionStore) -> None:
        assert await session.aget("a") == 1
        await session.aset("b", 2)
        await session.aupdate({"c": 3})
        assert await session.apop("a") == 1
        assert await session.asetdefault("d", 4) == 4
        assert await session.ahas_key("b")
        assert set(await session.akeys()) == {"b", "c", "d"}
        assert await session.aexists(TOKEN)
        assert await session.aload() == {"a": 1}
        await session.asave()

    session = active(a=1)
    asyncio.run(use(session))
    assert json.loads(session.response_headers["x-session-set"]) == {"a": None, "b": 2, "c": 3, "d": 4}


def test_clear_deletes_every_key_and_keeps_the_session() -> None:
    session = active(a=1, b=2)
    session.clear()
    assert session.status == "active"
    session["c"] = 3
    assert saved(session) == {"a": None, "b": None, "c": 3}


# Values that rest-sessions cannot store


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize("value", [[], {}, {"a": 1}, (1,), b"x", object(), 1j], ids=repr)
def test_setting_a_value_of_another_type_raises(value: Any) -> None:
    session = active()
    kind = type(value).__name__
    with pytest.raises(TypeError, match=rf"^request.session\['cart'\]: found a value of type {kind}, expected"):
        session["cart"] = value
    with pytest.raises(TypeError, match="request.session"):
        session.update({"cart": value})
    with pytest.raises(TypeError, match="request.session"):
        session.setdefault("cart", value)
    with pytest.raises(TypeError, match="request.session"):
        asyncio.run(session.aset("cart", value))
    with pytest.raises(TypeError, match="request.session"):
        asyncio.run(session.aupdate({"cart": value}))
    assert "cart" not in session and saved(session) is None


def test_setting_none_raises_and_names_del() -> None:
    with pytest.raises(TypeError, match=r"del request.session\['cart'\] removes the key"):
        active(cart=1)["cart"] = None


def test_setting_a_key_that_is_not_a_string_raises() -> None:
    with pytest.raises(TypeError, match=r"^request.session\[7\]: found a key of type int, expected str"):
        active()[7] = "x"  # type: ignore[index]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"], ids=["nan", "inf", "lone surrogate"])
def test_setting_a_value_that_json_cannot_represent_raises(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^request.session\['x'\]: found a value that JSON in UTF-8 cannot represent"):
        active()["x"] = value


def test_values_of_derived_types_are_stored_as_plain_json() -> None:
    session = active()
    session["a"] = mark_safe("<b>")
    session["b"] = Number.ONE
    assert saved(session) == {"a": "<b>", "b": 1}


@override_settings(EDGE_SESSIONS_MAX_BYTES=1_000_000)
def test_a_change_that_is_too_large_for_the_filter_raises() -> None:
    session = active()
    overhead = len('{"x":""}')
    session["x"] = "a" * (60_000 - overhead)
    session.save()
    assert len(session.response_headers["x-session-set"]) == 60_000
    session["x"] += "a"
    with pytest.raises(ValueError, match=r"x-session-set would have 60001 bytes.*at most 60000.*session\['x'\]"):
        session.save()


def test_a_change_that_makes_the_session_too_large_for_the_filter_raises() -> None:
    session = active(a="a" * 3000)
    fixed = len("active" + "user123" + "7200" + '{"a":"","b":""}')
    session["b"] = "b" * (6144 - 3000 - fixed)
    session.save()
    session["b"] += "b"
    with pytest.raises(ValueError, match=r"take 6145 bytes of headers, expected at most 6144.*annotate.max_bytes"):
        session.save()


def test_a_session_that_is_too_large_can_shrink() -> None:
    session = active(a="a" * 7000, b="b" * 7000)
    del session["a"]
    assert saved(session) == {"a": None}


# Ending


@pytest.mark.parametrize("end", [SessionStore.flush, SessionStore.delete, lambda s: asyncio.run(s.aflush())])
def test_ending_the_session_discards_its_changes(end: Use) -> None:
    session = active(a=1)
    session["a"] = 2
    session.save()
    end(session)
    session.save()
    assert session.response_headers == {"x-session-kill": "1"}
    assert (session.status, session.user, session.session_key, dict(session.items())) == ("none", None, None, {})
    with pytest.raises(NoSession, match=r"request.session\['a'\] cannot be set: this request has already ended"):
        session["a"] = 3


def test_ending_without_a_session_does_nothing() -> None:
    session = without_session()
    session.flush()
    session.save()
    assert session.response_headers == {}


def test_a_request_can_only_end_its_own_session() -> None:
    with pytest.raises(OwnedByTheEdge, match="a request can only end its own session"):
        active().delete("U" * 64)


def test_ending_raises_if_the_session_is_unavailable() -> None:
    with pytest.raises(SessionUnavailable, match="answer 503"):
        without_session("unavailable").flush()


# Without a session


def test_setting_without_a_session_raises_and_says_where_sessions_are_created() -> None:
    session = without_session()
    with pytest.raises(NoSession, match="x-session-status: none.*created at login.*`session: required`") as refused:
        session["cart"] = 3
    assert not isinstance(refused.value, SessionUnavailable)
    assert session.pop("cart", None) is None
    session.clear()
    assert saved(session) is None


def test_setting_raises_another_error_if_the_session_is_unavailable() -> None:
    with pytest.raises(SessionUnavailable, match="x-session-status: unavailable"):
        without_session("unavailable")["cart"] = 3


# Keys, lifetimes, and unsupported methods


def test_session_key_is_the_cookie_of_an_active_session() -> None:
    assert active().session_key == TOKEN
    assert without_session().session_key is None


@pytest.mark.parametrize("cookie", [None, "", "x" * 63, "../" * 21 + "x"])
def test_session_key_raises_if_the_cookie_did_not_arrive(cookie: str | None) -> None:
    session = SessionStore(cookie, session_headers(user="ada"))
    assert session.user == "ada"
    with pytest.raises(OwnedByTheEdge, match="request.session.user is the id of the user"):
        assert session.session_key


def test_exists_raises_for_the_session_of_another_request() -> None:
    assert active().exists(TOKEN)
    assert not without_session().exists(TOKEN)
    assert not active().exists(None)
    with pytest.raises(OwnedByTheEdge, match="its own session only"):
        active().exists("U" * 64)


@pytest.mark.parametrize(
    ("method", "arguments", "why"),
    [
        ("create", (), "created at login"),
        ("cycle_key", (), "gets its key at login"),
        ("set_expiry", (300,), "where the session is created"),
        ("set_expiry", (None,), "where the session is created"),
        ("get_expire_at_browser_close", (), "cookie is set at login"),
        ("save", (True,), "created at login"),
    ],
)
def test_unsupported_methods_say_where_they_belong(method: str, arguments: tuple[object, ...], why: str) -> None:
    with pytest.raises(OwnedByTheEdge, match=why):
        getattr(active(), method)(*arguments)
    with pytest.raises(OwnedByTheEdge, match=why):
        asyncio.run(getattr(active(), f"a{method}")(*arguments))


def test_the_expiry_is_that_of_the_session() -> None:
    session = active()
    assert session.get_expiry_age() == 7200
    assert asyncio.run(session.aget_expiry_age()) == 7200
    assert session.get_expiry_date() > timezone.now()
    assert without_session().get_expiry_age() == 0


def test_the_expiry_raises_and_names_the_header_if_it_is_missing() -> None:
    headers = session_headers()
    del headers["x-session-ttl"]
    with pytest.raises(ImproperlyConfigured, match='must have "x-session-ttl": "ttl"'):
        SessionStore(TOKEN, headers).get_expiry_age()


def test_clear_expired_does_nothing() -> None:
    SessionStore.clear_expired()
    asyncio.run(SessionStore.aclear_expired())


def test_errors_show_neither_tokens_nor_values() -> None:
    secret = "S" * 64
    with pytest.raises(OwnedByTheEdge) as refused:
        active().delete(secret)
    assert secret not in str(refused.value)
    session = active()
    session["x"] = secret * 1000
    with pytest.raises(ValueError, match="store large values elsewhere") as too_large:
        session.save()
    assert secret not in str(too_large.value)
