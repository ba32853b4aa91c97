"""Views of the demo. They work with any of Django's session engines."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html", {"data": dict(request.session.items())})


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = request.session.get("cart", 0) + 1
    messages.success(request, "Added.")
    return redirect("/")


@require_POST
def empty(request: HttpRequest) -> HttpResponse:
    request.session.pop("cart", None)
    return redirect("/")


async def theme(request: HttpRequest) -> HttpResponse:
    """Uses the asynchronous methods of the session."""
    if request.method == "POST":
        await request.session.aset("theme", request.POST.get("theme", "light"))
        return redirect("/")
    return HttpResponse(await request.session.aget("theme", "light"), content_type="text/plain")


@require_POST
def end(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return redirect("/")
