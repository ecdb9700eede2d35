"""App configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People, sign-in and sessions."""

    name = "authfi.accounts"
    label = "accounts"
