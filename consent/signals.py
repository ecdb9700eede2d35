"""What the layers above hear of."""

from django.dispatch import Signal

consent_withdrawn = Signal()
"""`consent`, `actor`: what hangs on it ends in the same transaction (C7)."""
