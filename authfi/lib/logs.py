"""Structured logs on standard output: one JSON object a line, no PHI (design D19)."""

import json
import logging
from datetime import UTC, datetime

from authfi.lib import requestinfo, tenancy


class JSONFormatter(logging.Formatter):
    """Time, level, logger, message, tenant and request id; tracebacks as one member."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        tenant = tenancy.current_or_none()
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "tenant": tenant.slug if tenant else None,
            "request_id": requestinfo.current().request_id or None,
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in entry.items() if value is not None})
