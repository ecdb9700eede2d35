"""The peer's WSGI application: its views are synchronous, so this costs it least."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.peer_dot.settings"
application = get_wsgi_application()
