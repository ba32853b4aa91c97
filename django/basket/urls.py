"""The paths. The rules of filter.json make `/` public; all others require a session."""

from django.urls import path

from basket import views

urlpatterns = [
    path("", views.home),
    path("cart/add", views.add),
    path("cart/empty", views.empty),
    path("theme", views.theme),
    path("end", views.end),
]
