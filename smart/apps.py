"""App configuration."""

from django.apps import AppConfig


class SmartConfig(AppConfig):
    """SMART App Launch: scopes, policy, launch, authorization server, gateway."""

    name = "smart"
