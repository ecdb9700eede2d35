"""Background work: Redis in production, files in the embedded mode (design D1)."""

import os
from pathlib import Path

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authfi.settings")

app = Celery("authfi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

if settings.CELERY_BROKER_URL.startswith("filesystem:"):
    queue = Path(settings.DATA_DIR) / "queue"
    for folder in ("messages", "done", "control"):
        (queue / folder).mkdir(parents=True, exist_ok=True)
    app.conf.broker_transport_options = {
        "data_folder_in": str(queue / "messages"),
        "data_folder_out": str(queue / "messages"),
        "processed_folder": str(queue / "done"),
        "control_folder": str(queue / "control"),
    }
app.conf.beat_schedule_filename = str(Path(settings.DATA_DIR) / "beat-schedule")
app.conf.beat_schedule = {
    "seal-checkpoints": {"task": "tenants.tasks.seal_checkpoints", "schedule": 60.0},
    "verify-trails": {
        "task": "tenants.tasks.verify_trails",
        "schedule": 3_600.0,
        "options": {"expires": 3_600},
    },
    "make-partitions": {"task": "audit.tasks.make_partitions", "schedule": 86_400.0},
    "report-orphan-writes": {"task": "smart.tasks.report_orphan_writes", "schedule": 60.0},
    "sweep-expired": {"task": "tenants.tasks.sweep_expired", "schedule": 600.0},
}
