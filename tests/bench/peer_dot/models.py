"""What the peer protects."""

from typing import ClassVar

from django.db import models


class Record(models.Model):
    """A resource as it is sent."""

    plain_columns: ClassVar[dict[str, str]] = {"key": "an id"}

    key = models.CharField(max_length=64, unique=True)
    content = models.BinaryField()
