"""App configuration."""

from django.apps import AppConfig


class ConsentConfig(AppConfig):
    """What a person was asked, and what they decided."""

    name = "consent"
