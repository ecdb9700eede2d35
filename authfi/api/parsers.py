"""Bodies of the management API: JSON without duplicate members, of a bounded size (G22)."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from authfi.api.problems import TooLarge
from smart.gateway import strict_json


class StrictJSON(BaseParser):
    """Reads one JSON object."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Raises ParseError (400), TooLarge (413)."""
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge
        try:
            body = strict_json.loads(raw)
        except ValueError as error:
            raise ParseError("The body is not JSON, or names a member twice.") from error
        if not isinstance(body, dict):
            raise ParseError("The body is not a JSON object.")
        return body
