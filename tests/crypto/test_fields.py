"""Sealed by being declared so: what the database holds, what opens it, what is refused (D8)."""

from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection, models

from authfi.accounts.models import User
from authfi.crypto import envelope, keyring
from authfi.crypto.fields import BlindIndexField, SealedField, SealedQueryError, blind_index
from authfi.lib import tenancy

PROJECT_APPS = {"crypto", "audit", "tenants", "accounts", "consent", "smart"}
TEXT = (models.CharField, models.TextField, models.JSONField, models.BinaryField)


def a_person(**fields):
    return User.objects.create(
        **{"email": "ada@mercy.example", "name": "Ada Quimby", "password": "!", **fields}
    )


def stored(pk, column):
    with connection.cursor() as cursor:
        placeholder = pk.hex if connection.vendor == "sqlite" else str(pk)
        cursor.execute(f"SELECT {column} FROM accounts_user WHERE id = %s", [placeholder])
        return bytes(cursor.fetchone()[0])


@pytest.mark.spec("H5", "K2")
def test_every_text_column_is_sealed_or_says_why_not():
    undeclared = [
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        if model._meta.app_label in PROJECT_APPS
        for field in model._meta.local_fields
        if isinstance(field, TEXT)
        and not isinstance(field, SealedField | BlindIndexField)
        and field.name not in getattr(model, "plain_columns", {})
    ]
    assert undeclared == []


@pytest.mark.spec("H5")
def test_every_declared_plain_column_exists():
    for model in apps.get_models():
        names = {field.name for field in model._meta.local_fields}
        assert set(getattr(model, "plain_columns", {})) <= names, model


@pytest.mark.spec("K1", "K2")
def test_the_database_holds_ciphertext_and_the_model_gives_the_value(bound):
    ada = a_person()
    assert b"Ada" not in stored(ada.pk, "name")
    found = User.objects.get(pk=ada.pk)
    assert found.name == "Ada Quimby"
    found.save()
    assert User.objects.get(pk=ada.pk).name == "Ada Quimby"


def test_null_stays_null(bound):
    assert User.objects.get(pk=a_person().pk).npi is None


@pytest.mark.spec("K2")
@pytest.mark.parametrize("moved", ["row", "column", "tenant"])
def test_a_ciphertext_moved_elsewhere_does_not_open(mercy, lakeside, moved):
    with tenancy.bind(mercy):
        ada = a_person()
        blob = stored(ada.pk, "name")
        assert keyring.open_sealed(blob, "accounts_user", "name", ada.pk) == b"Ada Quimby"
    target = lakeside if moved == "tenant" else mercy
    with tenancy.bind(target), pytest.raises(envelope.SealBrokenError):
        keyring.open_sealed(
            blob,
            "accounts_user",
            "email" if moved == "column" else "name",
            "elsewhere" if moved == "row" else ada.pk,
        )


@pytest.mark.spec("K1")
@pytest.mark.parametrize("position", [0, 1, 4, 5, 20, -1])
def test_a_flipped_byte_is_detected(bound, position):
    blob = bytearray(keyring.seal(b"a value that matters", "t", "c", "r"))
    blob[position] ^= 1
    with pytest.raises(envelope.SealBrokenError):
        keyring.open_sealed(bytes(blob), "t", "c", "r")


@pytest.mark.spec("K5")
def test_a_look_up_goes_through_the_blind_index_whatever_the_spelling(bound):
    ada = a_person()
    index = blind_index(User, "email_index", " ADA@Mercy.Example ")
    assert User.objects.get(email_index=index).pk == ada.pk


@pytest.mark.spec("K5", "G10")
def test_ids_whose_case_matters_are_found_as_they_are(bound):
    ada = a_person(fhir_user="Practitioner/Ada")
    other = a_person(email="bob@mercy.example", fhir_user="Practitioner/ada")
    index = blind_index(User, "fhir_user_index", "Practitioner/Ada")
    assert User.objects.get(fhir_user_index=index).pk == ada.pk
    assert other.fhir_user_index != index


@pytest.mark.spec("K5")
def test_the_same_email_in_two_tenants_has_two_indexes(mercy, lakeside):
    indexes = set()
    for tenant in (mercy, lakeside):
        with tenancy.bind(tenant):
            indexes.add(a_person().email_index)
    assert len(indexes) == 2


def test_the_index_follows_the_value(bound):
    ada = a_person()
    ada.email = "other@mercy.example"
    ada.save()
    assert ada.email_index == blind_index(User, "email_index", "other@mercy.example")


def test_sealed_fields_are_not_filtered_or_updated_in_bulk(bound):
    a_person()
    with pytest.raises(SealedQueryError):
        list(User.objects.filter(name="Ada Quimby"))
    with pytest.raises(SealedQueryError):
        User.objects.update(name="Eve")


def test_a_tenant_without_keys_cannot_seal():
    stranger = tenancy.TenantRef(id=uuid4(), slug="keyless")
    with tenancy.bind(stranger), pytest.raises(keyring.NoKeysError):
        keyring.seal(b"x", "t", "c", "r")
