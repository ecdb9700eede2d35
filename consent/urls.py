"""URLs."""

from django.urls import path

from consent import views

urlpatterns = [path("consent/<uuid:request_id>", views.decide, name="consent")]
