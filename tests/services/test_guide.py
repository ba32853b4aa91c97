"""docs/from-django-rest-sessions.md: it leaves no method out, and what it shows and quotes holds."""

import re
import textwrap
from types import SimpleNamespace

import django
import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.management import call_command

from edge import ROOT

GUIDE = ROOT / "docs" / "from-django-rest-sessions.md"
TEXT = GUIDE.read_text()


def section(title: str) -> str:
    return re.search(rf"^## {title}$(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]


def test_every_method_of_djangos_sessions_is_gone_through():
    named = set(re.findall(r"\b[a-z_]+\b", section("Method by method")))
    methods = {name for name in vars(SessionBase) if not name.startswith("_") and callable(getattr(SessionBase, name))}
    twins = {name for name in methods if name[0] == "a" and name[1:] in methods}
    assert methods - twins - named == set()


@pytest.fixture(scope="module")
def users():
    """A database in memory, in which Ada is."""
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    User.objects.create(username="ada")


def test_its_middleware_says_who_the_user_is(users):
    (snippet,) = re.findall(r"^  ```python\n(.*?)^  ```$", TEXT, re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(textwrap.dedent(snippet), names)
    of = names["user_of_session"](lambda request: request.user)
    assert of(SimpleNamespace(session=SimpleNamespace(user="ada"))).get_username() == "ada"
    for nobody in ("max", None):
        assert of(SimpleNamespace(session=SimpleNamespace(user=nobody))).is_anonymous
