"""URLs of documents that name a tenant behind `/.well-known/` (RFC 8414 3.1, RFC 9728 3.1)."""

from django.urls import path

from smart.server import documents

urlpatterns = [
    path(".well-known/oauth-authorization-server/t/<slug:slug>", documents.oauth_metadata),
    path(".well-known/oauth-protected-resource/t/<slug:slug>/fhir", documents.protected_resource),
]
