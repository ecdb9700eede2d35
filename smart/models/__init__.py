"""Everything the SMART part keeps."""

from smart.models.authorization import AuthorizationRequest, Grant
from smart.models.healthcare import HealthcareModule
from smart.models.launch import LaunchContext
from smart.models.oauth import (
    AccessToken,
    Application,
    AuthorizationCode,
    DeviceGrant,
    IDToken,
    RefreshToken,
    RevokedToken,
)
from smart.models.patient_list import PatientListEntry
from smart.models.write_intent import WriteIntent

__all__ = [
    "AccessToken",
    "Application",
    "AuthorizationCode",
    "AuthorizationRequest",
    "DeviceGrant",
    "Grant",
    "HealthcareModule",
    "IDToken",
    "LaunchContext",
    "PatientListEntry",
    "RefreshToken",
    "RevokedToken",
    "WriteIntent",
]
