"""Passwords: rules, hashing, and the bounded executor it runs in (N1-N4, N7, V2; design D18)."""

import hmac
import os
import threading
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher, get_hasher, make_password
from django.core.exceptions import ValidationError

from authfi.accounts import blocklist
from authfi.crypto.keyring import normalised
from authfi.lib import tenancy
from tenants import directory, policies

if TYPE_CHECKING:
    from authfi.accounts.models import User

MAX_LENGTH = 256
RETRY_AFTER_SECONDS = 5
_PRODUCT_WORDS = ("authfi", "smart on fhir")
_WAIT_SECONDS = 10.0
_WAITING_PER_WORKER = 16

R = TypeVar("R")


class BusyError(RuntimeError):
    """Too many passwords are being hashed: answer 503 and ask to try again (D18)."""


class PepperedArgon2(Argon2PasswordHasher):
    """Argon2id over an HMAC of the password, so that the database alone verifies nothing (N7)."""

    algorithm = "argon2_peppered"
    time_cost = settings.ARGON2_TIME_COST
    memory_cost = settings.ARGON2_MEMORY_KIB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Every character counts, however long the password is, in whichever Unicode form."""
        return super().encode(peppered(password), salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Is it the password?"""
        return super().verify(peppered(password), encoded)


def peppered(password: str) -> str:
    """Hex HMAC of the password in NFKC, keyed by the installation."""
    text = unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
    return hmac.digest(settings.PASSWORD_PEPPER.encode(), b"password\0" + text, "sha256").hex()


class HashingPool:
    """Runs a few hashings at once, lets a few more wait, and refuses the rest (D18)."""

    def __init__(self, *, workers: int, waiting: int, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="hashing")
        self._places = threading.BoundedSemaphore(workers + waiting)
        self._wait_seconds = wait_seconds

    def run(self, work: Callable[[], R]) -> R:
        """The work's result. Raises BusyError when the queue is full or did not move in time."""
        if not self._places.acquire(blocking=False):
            raise BusyError("too many passwords are being hashed")
        future = self._executor.submit(work)
        future.add_done_callback(lambda _: self._places.release())
        try:
            return future.result(self._wait_seconds)
        except TimeoutError as error:
            future.cancel()
            raise BusyError("hashing takes too long") from error


@cache
def pool() -> HashingPool:
    """This process's pool: one core stays free for everything else."""
    workers = max(1, (os.cpu_count() or 1) - 1)
    return HashingPool(workers=workers, waiting=workers * _WAITING_PER_WORKER)


def hash_password(password: str) -> str:
    """What is stored of a password. Raises BusyError."""
    return pool().run(lambda: make_password(password))


def verify(user: "User | None", password: str) -> bool:
    """Is it the password of this person? Takes as long when there is no such person (V2).

    A hash made with other parameters than today's is renewed. Raises BusyError.
    """
    stored = user.password if user and user.has_usable_password() else _nobody()
    is_right, renewed = pool().run(lambda: _compare(password, stored))
    if user is None or stored != user.password or not is_right:
        return False
    if renewed:
        type(user).objects.filter(pk=user.pk, password=stored).update(password=renewed)
        user.password = renewed
    return True


def validate_password(password: str, user_words: Iterable[str] = ()) -> None:
    """Length and blocklist, nothing else: no composition, no expiry (N1-N4).

    `user_words` are the person's own names, which are refused as a whole as the tenant's and the
    product's are. Raises ValidationError that says why.
    """
    text = unicodedata.normalize("NFKC", password)
    shortest = policies.sign_in().min_password_length
    if len(text) < shortest:
        raise ValidationError(
            f"The password is too short: use at least {shortest} characters.", code="short"
        )
    if len(password) > MAX_LENGTH:
        raise ValidationError(
            f"The password is too long: use at most {MAX_LENGTH} characters.", code="long"
        )
    if normalised(password) in {normalised(word) for word in (*user_words, *_own_words())}:
        raise ValidationError(
            "The password is your own name, the organization's or the product's: choose another.",
            code="name",
        )
    if blocklist.breached().holds(password):
        raise ValidationError(
            "This password is known from a data breach, so attackers try it first: choose another.",
            code="breached",
        )


def _compare(password: str, stored: str) -> tuple[bool, str]:
    """Is it right, and the hash to store instead where parameters have changed since."""
    hasher = get_hasher()
    if not hasher.verify(password, stored):
        return False, ""
    return True, make_password(password) if hasher.must_update(stored) else ""


def _own_words() -> list[str]:
    ref = tenancy.current()
    tenant = directory.find(ref.slug)
    return [*_PRODUCT_WORDS, ref.slug, *([tenant.name] if tenant else [])]


@cache
def _nobody() -> str:
    """A hash that no password matches, as costly to check as any."""
    return pool().run(lambda: make_password(os.urandom(32).hex()))
