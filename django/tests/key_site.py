"""A site that answers with the key of its session: `python -m tests.key_site wsgi|asgi PORT`."""

import sys
from wsgiref.simple_server import make_server

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from edge_sessions.errors import OwnedByTheEdge


def key(request: HttpRequest) -> HttpResponse:
    try:
        return HttpResponse(request.session.session_key or "none")
    except OwnedByTheEdge:
        return HttpResponse("unknown")


urlpatterns = [path("", key)]

if __name__ == "__main__":
    _, interface, port = sys.argv
    settings.configure(
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["edge_sessions.SessionMiddleware"],
        ROOT_URLCONF=__name__,
        SESSION_COOKIE_NAME="session-cookie",
        SESSION_ENGINE="edge_sessions",
    )
    django.setup()
    if interface == "wsgi":
        make_server("127.0.0.1", int(port), get_wsgi_application()).serve_forever()
    else:
        uvicorn.run(get_asgi_application(), host="127.0.0.1", port=int(port), log_level="warning", lifespan="off")
