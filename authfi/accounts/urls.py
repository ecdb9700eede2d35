"""URLs of the sign-in pages, below `/t/{tenant}/`."""

from django.urls import path

from authfi.accounts import invitation_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("login", views.login, name="login"),
    path("mfa", views.mfa, name="mfa"),
    path("logout", views.logout, name="logout"),
    path("password", views.password, name="password"),
    path("invitation", invitation_views.invitation, name="invitation"),
    path("invitation/<str:handle>", invitation_views.open_link, name="invitation_link"),
]
