"""App configuration."""

from django.apps import AppConfig


class CryptoConfig(AppConfig):
    """Keys, sealing and signing."""

    name = "authfi.crypto"
    label = "crypto"
