"""One-time codes of an authenticator app: RFC 6238 with a sealed seed, each code once (N8)."""

import hmac
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from django.db import models
from django.db.models import F
from django.utils import timezone
from django_otp.models import Device, ThrottlingMixin, TimestampMixin
from django_otp.oath import hotp

from authfi.crypto.fields import SealedTextField
from authfi.lib.models import BoundManager
from authfi.lib.tenancy import bound_id

if TYPE_CHECKING:
    from authfi.accounts.models import User

STEP_SECONDS = 30
DIGITS = 6
SEED_BYTES = 20


class TOTPDevice(TimestampMixin, ThrottlingMixin, Device):
    """An authenticator app. `seed` is the shared secret of at least 160 bits, as hex."""

    plain_columns: ClassVar[dict[str, str]] = {"name": "a label such as 'phone'"}

    tenant_id = models.UUIDField(default=bound_id, editable=False)
    seal_row = models.UUIDField(default=uuid4, editable=False)
    seed = SealedTextField()
    last_step = models.BigIntegerField(default=-1)

    objects: ClassVar[BoundManager["TOTPDevice"]] = BoundManager()  # type: ignore[assignment]

    class Meta(Device.Meta):
        base_manager_name = "objects"
        default_manager_name = "objects"

    def __str__(self) -> str:
        return f"authenticator {self.pk}"

    def get_throttle_factor(self) -> int:
        """No waiting of its own: `accounts.throttling` counts failures."""
        return 0

    def verify_token(self, token: str) -> bool:
        """True once for each code, however many ask at the same time.

        The attempt is counted before it is judged, by an update that only one of several can
        make: neither a guess nor a code gains from being sent many times at once.
        """
        if not self._claim_attempt():
            return False
        step = matching_step(self.seed, token)
        if step is None:
            return False
        accepted = TOTPDevice.objects.filter(pk=self.pk, last_step__lt=step).update(
            last_step=step,
            last_used_at=timezone.now(),
            throttling_failure_count=0,
            throttling_failure_timestamp=None,
        )
        return accepted == 1

    def _claim_attempt(self) -> bool:
        """Count a failure, unless another attempt was counted since this device was read."""
        claimed = TOTPDevice.objects.filter(
            pk=self.pk,
            throttling_failure_count=self.throttling_failure_count,
            last_step=self.last_step,
        ).update(
            throttling_failure_count=F("throttling_failure_count") + 1,
            throttling_failure_timestamp=timezone.now(),
        )
        return claimed == 1


def verify(user: "User", token: str) -> bool:
    """Is it a code, not used before, of one of the person's authenticators?"""
    devices = TOTPDevice.objects.filter(user=user, confirmed=True).order_by("pk")
    return any(device.verify_token(token) for device in devices)


def is_enrolled(user: "User") -> bool:
    """Has the person an authenticator?"""
    return TOTPDevice.objects.filter(user=user, confirmed=True).exists()


def matching_step(seed_hex: str, token: str) -> int | None:
    """The step, of the present one and its two neighbours, that the code belongs to."""
    now = step_at(timezone.now())
    key = bytes.fromhex(seed_hex)
    matches = [
        step
        for step in (now - 1, now, now + 1)
        if hmac.compare_digest(_code(key, step).encode(), token.encode())
    ]
    return matches[0] if matches else None


def step_at(moment: datetime) -> int:
    """The number of the 30-second step a moment lies in."""
    return int(moment.timestamp()) // STEP_SECONDS


def code_at(seed_hex: str, moment: datetime) -> str:
    """The code an authenticator shows at a moment."""
    return _code(bytes.fromhex(seed_hex), step_at(moment))


def _code(key: bytes, step: int) -> str:
    code: int = hotp(key, step, DIGITS)  # type: ignore[no-untyped-call]
    return f"{code:0{DIGITS}d}"
