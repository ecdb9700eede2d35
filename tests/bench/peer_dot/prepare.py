"""`python -m tests.bench.peer_dot.prepare CODES < record`: tables, an app, codes; prints JSON."""

import json
import os
import secrets
import sys
from datetime import timedelta
from typing import Any

import django


def main() -> None:
    """Make it all in the schema `peer_dot`."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.peer_dot.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS peer_dot")
    call_command("migrate", verbosity=0, run_syncdb=True)
    said = _fill(int(sys.argv[1]), sys.stdin.buffer.read())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute
    json.dump(said, sys.stdout)


def _fill(count: int, record: bytes) -> dict[str, object]:
    from django.contrib.auth import get_user_model
    from django.utils import timezone
    from oauth2_provider.models import AccessToken, Application, Grant

    from tests.bench import forms
    from tests.bench.peer_dot.models import Record

    Record._default_manager.create(key="1", content=record)
    people: Any = get_user_model()
    user = people.objects.create(username="pat")
    secret = secrets.token_urlsafe(32)
    app = Application.objects.create(
        client_id="bench",
        client_secret=secret,
        hash_client_secret=False,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=forms.REDIRECT_URI,
        algorithm=Application.RS256_ALGORITHM,
        name="Bench",
    )
    expires = timezone.now() + timedelta(hours=1)
    codes = [secrets.token_urlsafe(32) for _ in range(count)]
    Grant.objects.bulk_create(
        Grant(
            code=code,
            application=app,
            user=user,
            redirect_uri=forms.REDIRECT_URI,
            scope="openid read",
            code_challenge=forms.CHALLENGE,
            code_challenge_method="S256",
            expires=expires,
        )
        for code in codes
    )
    token = AccessToken.objects.create(
        user=user,
        application=app,
        token=secrets.token_urlsafe(32),
        scope="openid read",
        expires=expires,
    )
    return {"codes": codes, "secret": secret, "token": token.token}


if __name__ == "__main__":
    main()
