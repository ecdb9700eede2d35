"""AuthFI as a web server's application that dies at the step which CRASH_AT names."""

import os

from authfi.asgi import application
from tests import crash

crash.install(os.environ["CRASH_AT"])

__all__ = ["application"]
