"""App configuration."""

from django.apps import AppConfig

from authfi.lib import transaction


class AuditConfig(AppConfig):
    """The append-only trail of who did what, one hash chain per tenant."""

    name = "audit"

    def ready(self) -> None:
        """Let transactions write their deferred events."""
        from audit import record

        transaction.register_flush(record.flush)
