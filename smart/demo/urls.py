"""URLs of the demo outside any tenant."""

from django.urls import path

from smart.demo import lab_results_app, order_entry_app, start

urlpatterns = [
    path("", start.page, name="start"),
    path("demo/codes", start.codes, name="demo-codes"),
    path("demo/lab-results/", lab_results_app.page, {"name": "index.html"}, name="lab-results"),
    path("demo/order-entry/", order_entry_app.page, name="order-entry"),
    path("demo/lab-results/<str:name>", lab_results_app.page),
]
