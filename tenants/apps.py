"""App configuration."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """The directory of tenants and what finds a request's tenant in it."""

    name = "tenants"
