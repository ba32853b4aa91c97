"""docs/from-django-rest-sessions.md: it covers every method, and its links and its code work."""

import re
import textwrap
from types import SimpleNamespace
from typing import Any

import django
import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.management import call_command

from harness.paths import ROOT
from harness.text import find

GUIDE = ROOT / "docs" / "from-django-rest-sessions.md"
TEXT = GUIDE.read_text()


def section(title: str) -> str:
    return find(rf"^## {title}$(.*?)(?=^## |\Z)", TEXT)


def test_the_guide_covers_every_method_of_djangos_sessions() -> None:
    named = set(re.findall(r"\b[a-z_]+\b", section("Method by method")))
    methods = {name for name in vars(SessionBase) if not name.startswith("_") and callable(getattr(SessionBase, name))}
    twins = {name for name in methods if name[0] == "a" and name[1:] in methods}
    assert methods - twins - named == set()


@pytest.fixture(scope="module")
def users() -> None:
    """A database in memory with one user, ada."""
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    User.objects.create(username="ada")


def test_its_middleware_sets_the_user(users: None) -> None:
    (snippet,) = re.findall(r"^  ```python\n(.*?)^  ```$", TEXT, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(snippet), names)
    user_of = names["user_of_session"](lambda request: request.user)
    assert user_of(SimpleNamespace(session=SimpleNamespace(user="ada"))).get_username() == "ada"
    for unknown in ("max", None):
        assert user_of(SimpleNamespace(session=SimpleNamespace(user=unknown))).is_anonymous
