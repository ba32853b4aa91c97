"""`/` is for everybody, the rest for who has a session: the rules of filter.json say so."""

from django.urls import path

from basket import views

urlpatterns = [
    path("", views.home),
    path("cart/add", views.add),
    path("cart/empty", views.empty),
    path("theme", views.theme),
    path("end", views.end),
]
