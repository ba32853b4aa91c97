"""A Django site that answers which view it chose and which host it believes that it was asked for."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests alone",
    USE_X_FORWARDED_HOST=True,
)


def public(request: HttpRequest, name: str = "") -> JsonResponse:
    return JsonResponse({"view": "public", "host": request.get_host()})


def secret(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"view": "secret", "host": request.get_host()})


urlpatterns = [path("static/<path:name>", public), path("admin/secret", secret)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
