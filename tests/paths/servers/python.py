"""`python python.py FRAMEWORK SERVER`: a Python framework on a server, with the routes in the environment variable
ROUTES, on a port that the system chooses. Each handler answers `served:` and the route's name."""

import asyncio
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

CONFIGURATION = json.loads(os.environ["ROUTES"])
ROUTES: list[tuple[str, str]] = [(name, path) for name, path in CONFIGURATION["routes"]]
FOLDER: str = CONFIGURATION["folder"]


def body(name: str) -> str:
    return f"served:{name};"


def rewritten(parameter: str) -> list[tuple[str, str]]:
    """The routes with parameters in another notation, in which `NAME` is the parameter's name."""
    return [
        (name, re.sub(r"\{(\w+)\}", lambda found: parameter.replace("NAME", found[1]), path)) for name, path in ROUTES
    ]


def plain(name: str) -> Callable[..., str]:
    return lambda *_, **__: body(name)


def listening_socket() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


# Frameworks with WSGI.


def flask(*, strict_slashes: bool = True) -> Any:
    from flask import Flask, send_from_directory

    app = Flask("app", static_folder=None)
    app.url_map.strict_slashes = strict_slashes
    for name, path in rewritten("<NAME>"):
        app.add_url_rule(path, name, plain(name))
    app.add_url_rule("/<path:path>", "files", lambda path: send_from_directory(FOLDER, path))
    return app


def bottle() -> Any:
    import bottle

    app = bottle.Bottle()
    for name, path in rewritten("<NAME>"):
        app.get(path, callback=plain(name))
    app.get("/<path:path>", callback=lambda path: bottle.static_file(path, root=FOLDER))
    return app


def falcon() -> Any:
    import falcon

    class Resource:
        def __init__(self, name: str) -> None:
            self.name = name

        def on_get(self, request: Any, response: Any, **_: str) -> None:
            response.text = body(self.name)

    app = falcon.App()
    for name, path in ROUTES:
        app.add_route(path, Resource(name))
    app.add_static_route("/", FOLDER)
    return app


def pyramid() -> Any:
    from pyramid.config import Configurator
    from pyramid.response import Response

    def view(name: str) -> Callable[[object], Response]:
        return lambda _: Response(body(name))

    with Configurator() as configurator:
        for name, path in ROUTES:
            configurator.add_route(name, path)
            configurator.add_view(view(name), route_name=name)
        return configurator.make_wsgi_app()


def django_urls(*, ignore_case: bool) -> None:
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path, re_path
    from django.views.static import serve

    def pattern(name: str, template: str) -> Any:
        def view(_: object, **__: str) -> HttpResponse:
            return HttpResponse(body(name))

        if ignore_case:
            return re_path("(?i)^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template[1:]) + "$", view)
        return path(re.sub(r"\{(\w+)\}", r"<\1>", template[1:]), view)

    settings.configure(
        ROOT_URLCONF=type(sys)("urls"),
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="for tests",
        APPEND_SLASH=False,
        LOGGING_CONFIG=None,
    )
    files = re_path(r"^(?P<path>.*)$", serve, {"document_root": FOLDER})
    settings.ROOT_URLCONF.urlpatterns = [*(pattern(name, template) for name, template in ROUTES), files]
    import django

    django.setup()


def django_wsgi(*, ignore_case: bool = False) -> Any:
    django_urls(ignore_case=ignore_case)
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def cherrypy() -> Any:
    import cherrypy

    class Page:
        """CherryPy calls a page that is exposed, and looks for the pages below it among its attributes."""

        exposed = False
        name = ""

        def __call__(self, *_: str) -> str:
            return body(self.name)

    root = Page()
    for name, path in ROUTES:
        page = root
        for segment in path.removeprefix("/").split("/"):
            page = page.__dict__.setdefault("default" if "{" in segment else segment, Page())
        page.name, page.exposed = name, True
    cherrypy.config.update({"log.screen": False, "environment": "production"})
    files = {"tools.staticdir.on": True, "tools.staticdir.dir": FOLDER}
    return cherrypy.Application(root, "", {"/": files})


# Frameworks with ASGI.


def django_asgi(*, ignore_case: bool = False) -> Any:
    django_urls(ignore_case=ignore_case)
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def endpoint(name: str) -> Callable[[object], PlainTextResponse]:
        return lambda _: PlainTextResponse(body(name))

    routes = [Route(path, endpoint(name)) for name, path in ROUTES]
    return Starlette(routes=[*routes, Mount("/", StaticFiles(directory=FOLDER))])


def quart() -> Any:
    from quart import Quart

    def handler(route: str) -> Callable[..., Awaitable[str]]:
        async def answer(**_: str) -> str:
            return body(route)

        return answer

    app = Quart("app", static_folder=None)
    for name, path in rewritten("<NAME>"):
        app.add_url_rule(path, name, handler(name))
    return app


# Servers.


def announce(listener: socket.socket, *packages: str) -> None:
    print("version", " ".join(f"{package} {version(package)}" for package in packages), flush=True)
    print(f"listens on 127.0.0.1:{listener.getsockname()[1]}", flush=True)


def uvicorn(app: Any, http: str) -> None:
    import uvicorn

    listener = listening_socket()
    announce(listener, FRAMEWORKS[framework][0], "uvicorn", http)
    configuration = uvicorn.Config(app, http=http, log_level="error", lifespan="off")
    uvicorn.Server(configuration).run(sockets=[listener])


def hypercorn(app: Any) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    listener = listening_socket()
    announce(listener, FRAMEWORKS[framework][0], "hypercorn")
    configuration = Config()
    configuration.bind = [f"fd://{listener.detach()}"]
    configuration.loglevel = "CRITICAL"
    asyncio.run(serve(app, configuration))


def daphne(app: Any) -> None:
    from daphne.server import Server

    listener = listening_socket()
    announce(listener, FRAMEWORKS[framework][0], "daphne")
    Server(app, endpoints=[f"fd:fileno={listener.detach()}"], signal_handlers=True).run()


def gunicorn(app: Any) -> None:
    from gunicorn.app.base import BaseApplication

    listener = listening_socket()

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("bind", f"fd://{listener.fileno()}")
            self.cfg.set("worker_class", "gthread")
            self.cfg.set("loglevel", "critical")

        def load(self) -> Any:
            return app

    announce(listener, FRAMEWORKS[framework][0], "gunicorn")
    Application().run()


def waitress(app: Any) -> None:
    from waitress import serve

    listener = listening_socket()
    announce(listener, FRAMEWORKS[framework][0], "waitress")
    serve(app, sockets=[listener], _quiet=True)


def werkzeug(app: Any) -> None:
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    announce(server.socket, FRAMEWORKS[framework][0], "werkzeug")
    server.serve_forever()


def wsgiref(app: Any) -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, handler_class=Handler)
    announce(server.socket, FRAMEWORKS[framework][0])
    server.serve_forever()


def cheroot(app: Any) -> None:
    from cheroot.wsgi import Server

    server = Server(("127.0.0.1", 0), app)
    server.prepare()
    announce(server.socket, FRAMEWORKS[framework][0], "cheroot")
    server.serve()


# Frameworks with a server of their own.


def aiohttp() -> None:
    from aiohttp import web

    def handler(name: str) -> Callable[[object], Awaitable[web.Response]]:
        async def answer(_: object) -> web.Response:
            return web.Response(text=body(name))

        return answer

    app = web.Application()
    app.add_routes([web.get(path, handler(name)) for name, path in ROUTES])
    app.add_routes([web.static("/", FOLDER)])
    listener = listening_socket()
    announce(listener, "aiohttp")
    web.run_app(app, sock=listener, print=None, access_log=None)


def tornado() -> None:
    from tornado.httpserver import HTTPServer
    from tornado.web import Application, RequestHandler, StaticFileHandler

    class Handler(RequestHandler):
        def initialize(self, name: str) -> None:
            self.name = name

        def get(self, *_: str) -> None:
            self.write(body(self.name))

    async def serve() -> None:
        own = [(path, Handler, {"name": name}) for name, path in rewritten("([^/]+)")]
        app = Application([*own, ("/(.*)", StaticFileHandler, {"path": FOLDER})], log_function=lambda _: None)
        listener = listening_socket()
        listener.setblocking(False)
        HTTPServer(app).add_socket(listener)
        announce(listener, "tornado")
        await asyncio.Event().wait()

    asyncio.run(serve())


def sanic() -> None:
    from sanic import Sanic
    from sanic.response import text

    def handler(name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(_: object, **__: str) -> Any:
            return text(body(name))

        return answer

    app = Sanic("app", configure_logging=False)
    for name, path in rewritten("<NAME>"):
        app.add_route(handler(name), path, name=name.replace("-", "_"))
    listener = listening_socket()
    announce(listener, "sanic")
    app.run(sock=listener, single_process=True, access_log=False, motd=False)


FRAMEWORKS: dict[str, tuple[str, Callable[[], Any]]] = {
    "flask": ("flask", flask),
    "flask-lax": ("flask", lambda: flask(strict_slashes=False)),
    "bottle": ("bottle", bottle),
    "falcon": ("falcon", falcon),
    "pyramid": ("pyramid", pyramid),
    "django-wsgi": ("django", django_wsgi),
    "django-wsgi-nocase": ("django", lambda: django_wsgi(ignore_case=True)),
    "django-asgi": ("django", django_asgi),
    "django-asgi-nocase": ("django", lambda: django_asgi(ignore_case=True)),
    "cherrypy": ("cherrypy", cherrypy),
    "starlette": ("starlette", starlette),
    "quart": ("quart", quart),
}
SERVERS: dict[str, Callable[[Any], None]] = {
    "uvicorn-h11": lambda app: uvicorn(app, "h11"),
    "uvicorn-httptools": lambda app: uvicorn(app, "httptools"),
    "hypercorn": hypercorn,
    "daphne": daphne,
    "gunicorn": gunicorn,
    "waitress": waitress,
    "werkzeug": werkzeug,
    "wsgiref": wsgiref,
    "cheroot": cheroot,
}
OWN_SERVERS: dict[str, Callable[[], None]] = {"aiohttp": aiohttp, "tornado": tornado, "sanic": sanic}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    framework = sys.argv[1]
    if framework in OWN_SERVERS:
        OWN_SERVERS[framework]()
    else:
        SERVERS[sys.argv[2]](FRAMEWORKS[framework][1]())
