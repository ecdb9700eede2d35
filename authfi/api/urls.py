"""URLs of the management API, below `/api/v1/`."""

from django.urls import path, re_path

from authfi.api.healthcare import HealthcareView
from authfi.api.launch_contexts import LaunchContextsView
from authfi.api.problems import nothing_here

urlpatterns = [
    path("tenants/<str:tenant>/healthcare", HealthcareView.as_view()),
    path("tenants/<str:tenant>/launch-contexts", LaunchContextsView.as_view()),
    re_path("", nothing_here),
]
