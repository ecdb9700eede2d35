"""What a database's error says of the batch that met it (D7, V8)."""

import django.db
import psycopg
from psycopg import errors

_ANY = (django.db.Error, psycopg.Error)
_OF_A_ROW = (
    django.db.DataError,
    django.db.IntegrityError,
    psycopg.DataError,
    psycopg.IntegrityError,
)
#: A server that became a standby, and transactions that met another: a new session may succeed.
_OF_A_SESSION = (
    errors.ReadOnlySqlTransaction,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)


def is_of_a_row(error: Exception) -> bool:
    """One row cannot be stored, whoever is asked: the others of its batch can.

    So is every error that is not a database's: it was met while the rows were put together.
    """
    return isinstance(error, _OF_A_ROW) or not isinstance(error, _ANY)


def is_of_a_session(error: Exception) -> bool:
    """The server said that it stored nothing, and a new session may store all of it.

    An error without the server's word may have come after the commit: trying again could store
    twice.
    """
    return isinstance(error, _OF_A_SESSION) or isinstance(error.__cause__, _OF_A_SESSION)
