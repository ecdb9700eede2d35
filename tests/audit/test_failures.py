"""What a database's error says of a batch of events (design D7, V8)."""

import django.db
import psycopg
import pytest
from psycopg import errors

from audit import failures


def as_django_tells(error):
    told = django.db.OperationalError()
    told.__cause__ = error
    return told


@pytest.mark.spec("V8")
@pytest.mark.parametrize("tell", [lambda error: error, as_django_tells])
@pytest.mark.parametrize(
    ("kind", "is_tried_again"),
    [
        (errors.ReadOnlySqlTransaction, True),
        (errors.DeadlockDetected, True),
        (errors.SerializationFailure, True),
        (errors.StatementCompletionUnknown, False),
        (errors.AdminShutdown, False),
        (errors.QueryCanceled, False),
        (psycopg.OperationalError, False),
    ],
)
def test_only_where_the_server_stored_nothing_is_a_batch_tried_again(tell, kind, is_tried_again):
    assert failures.is_of_a_session(tell(kind())) is is_tried_again


@pytest.mark.spec("V8")
@pytest.mark.parametrize(
    ("error", "is_the_rows"),
    [
        (errors.CheckViolation(), True),
        (django.db.DataError(), True),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), True),
        (errors.DeadlockDetected(), False),
        (django.db.OperationalError(), False),
    ],
)
def test_a_row_is_told_from_its_database(error, is_the_rows):
    assert failures.is_of_a_row(error) is is_the_rows
