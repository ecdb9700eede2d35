"""AuthFI: healthcare identity."""

__version__ = "0.1.0"
