"""What others must follow; sent inside the transaction of the change, so both hold or neither."""

from django.dispatch import Signal

user_deactivated = Signal()
"""`user`: may no longer sign in, and every access given by them or to them ends."""

roles_changed = Signal()
"""`user`: has other roles than before."""

sessions_ended = Signal()
"""`user`, `session_ids` (UUIDs): these sign-ins are over."""

session_replaced = Signal()
"""`former`, `session_id` (UUIDs): somebody else signed in where the former session was."""
