"""URLs of the sign-in pages, below `/t/{tenant}/`."""

from django.urls import path

from authfi.accounts import views

urlpatterns = [
    path("", views.home, name="home"),
    path("login", views.login, name="login"),
    path("mfa", views.mfa, name="mfa"),
    path("logout", views.logout, name="logout"),
    path("password", views.password, name="password"),
]
