"""URLs of a person's own page, below `/t/{tenant}/`."""

from django.urls import path

from smart.account import views

urlpatterns = [
    path("account", views.account, name="account"),
    path("account/apps/<uuid:consent_id>/end", views.end, name="account-end"),
    path("account/apps/<uuid:consent_id>/change", views.change, name="account-change"),
]
