"""Model fields that are encrypted by being declared (design D8).

A sealed value is bound to its tenant, table, column and row, opened when it is first read, and
cannot be filtered or updated in bulk: look-ups go through a declared `BlindIndexField`.
"""

import json
from typing import TYPE_CHECKING, Any, cast

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from authfi.crypto import keyring

if TYPE_CHECKING:
    _BinaryField = models.BinaryField[Any, Any]
    _CharField = models.CharField[Any, Any]
else:
    _BinaryField = models.BinaryField
    _CharField = models.CharField


class SealedQueryError(TypeError):
    """A sealed field was used in a filter or a bulk update."""


class Ciphertext(bytes):
    """A sealed value as stored."""


class _SealedAttribute:
    """Opens the value on first access; kept open for the life of the instance."""

    def __init__(self, field: "SealedField") -> None:
        self.field = field

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        name = self.field.attname
        if name not in instance.__dict__:
            instance.refresh_from_db(fields=[name])
        value = instance.__dict__[name]
        if isinstance(value, Ciphertext):
            value = instance.__dict__[name] = self.field.open_for(instance, value)
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class SealedField(_BinaryField):
    """Base of the sealed fields: any value, as text, under the tenant's data key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", True)
        super().__init__(*args, **kwargs)

    def contribute_to_class(
        self, cls: type[models.Model], name: str, private_only: bool = False
    ) -> None:
        """Install the opening attribute."""
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _SealedAttribute(self))

    def to_text(self, value: Any) -> str:
        """The value as the text that is sealed."""
        return str(value)

    def from_text(self, text: str) -> Any:
        """The value from the opened text."""
        return text

    def open_for(self, instance: models.Model, value: Ciphertext) -> Any:
        """Open the instance's value. Raises envelope.SealBrokenError."""
        table = instance._meta.db_table
        opened = keyring.open_sealed(value, table, cast("str", self.column), row_of(instance))
        return self.from_text(opened.decode())

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Seal a value that was set; one that was never opened is stored as it is."""
        value = model_instance.__dict__.get(self.attname)
        if value is None or isinstance(value, Ciphertext):
            return value
        table = model_instance._meta.db_table
        sealed = keyring.seal(
            self.to_text(value).encode(), table, cast("str", self.column), row_of(model_instance)
        )
        return Ciphertext(sealed)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Raises SealedQueryError for anything that was not sealed for its row."""
        if value is not None and not isinstance(value, Ciphertext):
            raise SealedQueryError(f"{self.name} is sealed: look it up by its blind index")
        return super().get_db_prep_value(value, connection, prepared)

    def from_db_value(self, value: Any, *_: Any) -> Ciphertext | None:
        """Keep what is stored until somebody asks for it."""
        return None if value is None else Ciphertext(bytes(value))

    def value_to_string(self, obj: models.Model) -> str:
        """Sealed values are not serialised in clear."""
        raise SealedQueryError(f"{self.name} is sealed")


class SealedTextField(SealedField):
    """Text, sealed."""


class SealedJSONField(SealedField):
    """JSON, sealed."""

    def to_text(self, value: Any) -> str:
        """Compact JSON."""
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def from_text(self, text: str) -> Any:
        """Parsed JSON."""
        return json.loads(text)


class BlindIndexField(_CharField):
    """Hex HMAC of a sealed field of the same model, kept in step by every save (K5).

    It finds a value whatever its spelling; `exact` ones hold ids whose case matters.
    """

    def __init__(self, *args: Any, source: str, exact: bool = False, **kwargs: Any) -> None:
        self.source = source
        self.exact = exact
        kwargs["max_length"] = 64
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """For the migration writer."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "source": self.source, "exact": self.exact}

    def index(self, value: str) -> str:
        """The index of a value in the bound tenant: what a look-up compares with."""
        index = keyring.digest if self.exact else keyring.blind_index
        return index(f"{self.model._meta.db_table}.{self.source}", value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Follow the sealed field."""
        source = getattr(model_instance, self.source)
        value = self.index(source) if source else self._empty()
        setattr(model_instance, self.attname, value)
        return value

    def _empty(self) -> str | None:
        return None if self.null else ""


def blind_index(model: type[models.Model], field: str, value: str) -> str:
    """The value to compare `field`, a BlindIndexField of `model`, with."""
    return cast("BlindIndexField", model._meta.get_field(field)).index(value)


def row_of(instance: models.Model) -> object:
    """What names the row in a seal: its key, or `seal_row` where the database makes the key."""
    return getattr(instance, "seal_row", instance.pk)


__all__ = ["BlindIndexField", "SealedJSONField", "SealedTextField", "blind_index"]
