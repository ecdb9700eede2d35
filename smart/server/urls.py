"""URLs of the authorization server, below `/t/{tenant}/`."""

from django.urls import path

from audit.events import Code
from smart.server import authorize, documents, logout, picker, style, userinfo
from smart.server.endpoint import django_view
from smart.server.introspect import from_memory, introspect
from smart.server.revoke import revoke
from smart.server.token import token
from tenants import limits

urlpatterns = [
    path(".well-known/smart-configuration", documents.smart_configuration),
    path("fhir/.well-known/smart-configuration", documents.smart_configuration),
    path(".well-known/openid-configuration", documents.openid_configuration),
    path(".well-known/jwks.json", documents.jwks, name="jwks"),
    path("oauth/authorize", authorize.authorize, name="authorize"),
    path(
        "oauth/authorize/<uuid:request_id>",
        authorize.authorize_continue,
        name="authorize-continue",
    ),
    path("oauth/authorize/<uuid:request_id>/patient", picker.patient, name="choose-patient"),
    path("oauth/authorize/<uuid:request_id>/encounter", picker.encounter, name="choose-encounter"),
    path("oauth/logout", logout.end_session, name="end-session"),
    path("oauth/logout/confirm", logout.end_session_confirm, name="end-session-confirm"),
    path("style/<slug:name>.json", style.style_json, name="style"),
    path("oauth/userinfo", userinfo.userinfo, name="userinfo"),
    path("oauth/token", django_view(token, refusal_code=Code.TOKEN_DENY), name="token"),
    path(
        "oauth/introspect",
        django_view(
            introspect,
            refusal_code=Code.TOKEN_INTROSPECT,
            limit=limits.INTROSPECTION,
            memory=from_memory,
        ),
        name="introspect",
    ),
    path("oauth/revoke", django_view(revoke, refusal_code=Code.TOKEN_REVOKE), name="revoke"),
]
