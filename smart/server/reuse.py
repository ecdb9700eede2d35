"""What was used twice ends its grant: somebody holds a copy (O4, O13, TOKN-08, REFR-12)."""

from audit import events, record
from smart.grants import end_grants
from smart.models import Grant


def end(grant: Grant, grant_type: str) -> None:
    """End the grant of a code or refresh token that was used before; for an open transaction.

    Whoever it is that holds the copy, neither goes on.
    """
    actor = events.Actor.client(grant.application.client_id)
    if grant_type == "authorization_code":
        end_grants(reason="code_reused", actor=actor, id=grant.pk)
    elif end_grants(reason="refresh_token_reused", actor=actor, id=grant.pk):
        record.record(
            events.Event(
                code=events.Code.TOKEN_REUSE,
                outcome=events.Outcome.DENIED,
                actor=actor,
                client_id=grant.application.client_id,
                patient=grant.patient or "",
                object=f"Grant/{grant.pk}",
                details={"on_behalf_of": str(grant.user_id)},
            )
        )
