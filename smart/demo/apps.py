"""App configuration."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """What `make demo` adds: seed data, the EHR simulator, the Lab Results App."""

    name = "smart.demo"
    label = "demo"
