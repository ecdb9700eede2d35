"""App configuration."""

from django.apps import AppConfig


class SmartConfig(AppConfig):
    """SMART App Launch: scopes, policy, launch, authorization server, gateway."""

    name = "smart"

    def ready(self) -> None:
        """Follow what happens below: each of these ends grants (D3)."""
        from smart import endings

        endings.connect()
