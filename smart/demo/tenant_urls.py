"""URLs of the demo below a tenant: its EHR."""

from django.urls import path

from smart.demo import simulator

urlpatterns = [
    path("demo/ehr/", simulator.patients, name="ehr"),
    path("demo/ehr/patients/<str:patient_id>", simulator.chart, name="ehr-chart"),
    path("demo/ehr/patients/<str:patient_id>/launch", simulator.launch, name="ehr-launch"),
]
