"""Key files, rings in memory, and what a missing key means (K1, K3, K10)."""

import time

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from authfi.crypto import envelope, kek, keyring, signing
from authfi.crypto.models import DataKey, SigningKey


@pytest.mark.spec("K10")
def test_production_does_not_make_a_key_where_a_mount_failed(tmp_path, settings):
    settings.PRODUCTION = True
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        kek.FileKek(tmp_path / "absent.key")
    assert not (tmp_path / "absent.key").exists()


@pytest.mark.spec("K1")
def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "kek.key"
    wrapped = kek.FileKek(path).wrap(b"a data key", b"where")
    assert path.stat().st_mode & 0o777 == 0o600
    assert kek.FileKek(path).unwrap(wrapped, b"where") == b"a data key"
    with pytest.raises(envelope.SealBrokenError):
        kek.FileKek(path).unwrap(wrapped, b"elsewhere")


@pytest.mark.spec("K1")
def test_a_damaged_key_file_is_refused(tmp_path):
    path = tmp_path / "kek.key"
    path.write_bytes(b"short")
    with pytest.raises(ImproperlyConfigured, match="256-bit"):
        kek.FileKek(path)


@pytest.mark.spec("K1")
def test_a_data_key_made_by_another_process_is_found(bound):
    old = keyring.seal(b"old", "t", "c", "r")
    key = envelope.new_key()
    context = envelope.place(bound.id, "crypto_datakey", "data", 2)
    DataKey.objects.create(number=2, purpose="data", wrapped=kek.provider().wrap(key, context))
    new = envelope.seal(key, 2, b"new", envelope.place(bound.id, "t", "c", "r"))
    assert keyring.open_sealed(new, "t", "c", "r") == b"new"
    assert keyring.open_sealed(old, "t", "c", "r") == b"old"


@pytest.mark.spec("K1")
def test_keys_do_not_stay_in_memory_for_good(bound, monkeypatch):
    keyring.seal(b"x", "t", "c", "r")
    DataKey.objects.all().delete()
    later = time.monotonic() + keyring.CACHE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(keyring.NoKeysError):
        keyring.seal(b"x", "t", "c", "r")


@pytest.mark.spec("K6", "OIDC-08")
def test_a_key_past_its_time_is_neither_published_nor_believed(bound):
    retired = SigningKey.objects.get(alg="ES256")
    retired.state, retired.not_after = SigningKey.State.RETIRED, timezone.now()
    retired.save()
    signing.forget(bound.id)
    keys = signing.keys()
    assert retired.kid not in {key["kid"] for key in keys.jwks["keys"]}
    assert "ES256" not in keys.active
