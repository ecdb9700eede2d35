"""Who and what the demo holds: organizations, people, apps. Every one of them is made up."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from django.conf import settings

from authfi.accounts.mfa.totp import SEED_BYTES

PASSPHRASE = "paper lantern harbour"
"""Everyone's, in the demo only: the start page shows it."""

RECORDS = "patient/Patient.rs patient/Observation.rs patient/Encounter.rs"
LAB_RESULTS_PATH = "/demo/lab-results/"
ORDER_ENTRY_PATH = "/demo/order-entry/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account. `fhir_user` is `Type/id`; staff sign in with a one-time code as well."""

    tenant: str
    email: str
    name: str
    roles: tuple[str, ...]
    fhir_user: str | None = None
    npi: str | None = None
    mrn: str | None = None

    @property
    def totp_seed(self) -> str | None:
        """The authenticator's seed as hex; patients have none."""
        if self.roles == ("patient",):
            return None
        return _derived(f"totp {self.tenant} {self.email}")[:SEED_BYTES].hex()

    @property
    def totp_secret(self) -> str | None:
        """The same seed as authenticator apps take it: base32."""
        seed = self.totp_seed
        return base64.b32encode(bytes.fromhex(seed)).decode() if seed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A registered app: with paths of its pages one for people, else acting in its own name.

    `about` says on the start page what it is.
    """

    client_id: str
    name: str
    about: str
    scopes: str
    redirect_path: str | None = None
    launch_path: str | None = None
    keeps_secret: bool = False

    @property
    def is_for_people(self) -> bool:
        """True for an app that people sign in to, rather than one acting in its own name."""
        return self.redirect_path is not None

    @property
    def is_public(self) -> bool:
        """True for an app in a browser, which cannot keep a secret."""
        return self.is_for_people and not self.keeps_secret

    def secret(self, tenant: str) -> str | None:
        """The app's secret at a tenant: 256 bits as base64url."""
        if self.is_public:
            return None
        derived = _derived(f"client {tenant} {self.client_id}")
        return base64.urlsafe_b64encode(derived).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A tenant with what belongs to it; `healthcare` ones have a sandbox FHIR server."""

    slug: str
    name: str
    healthcare: bool
    people: tuple[Person, ...]
    apps: tuple[App, ...] = ()


LAB_RESULTS = App(
    client_id="lab-results",
    name="Lab Results App",
    about="Shows results over time, in the browser; started from a chart or by itself.",
    scopes=f"launch launch/patient openid fhirUser {RECORDS}",
    redirect_path=LAB_RESULTS_PATH,
    launch_path=f"{LAB_RESULTS_PATH}launch.html",
)
ORDER_ENTRY = App(
    client_id="order-entry",
    name="Order Entry",
    about="Writes medication orders for a doctor; has a secret and a server of its own.",
    scopes=(
        "launch launch/patient openid fhirUser patient/Patient.rs patient/MedicationRequest.rs "
        "patient/MedicationRequest.write"
    ),
    redirect_path=ORDER_ENTRY_PATH,
    keeps_secret=True,
)
EHR = App(
    client_id="ehr",
    name="EHR",
    about="The hospital's own record system, which announces launches to AuthFI.",
    scopes="authfi/launch",
)
ADMIN_API = App(
    client_id="admin-api",
    name="Admin API",
    about="A program that manages the hospital through the management API.",
    scopes=(
        "authfi/tenants authfi/users authfi/apps authfi/launch authfi/audit.read "
        "authfi/consents authfi/sessions"
    ),
)

GENERAL_HOSPITAL = Organization(
    slug="general-hospital",
    name="General Hospital",
    healthcare=True,
    people=(
        Person(
            tenant="general-hospital",
            email="dr.smith@hospital.com",
            name="Dr. Anna Smith",
            roles=("doctor",),
            fhir_user="Practitioner/123",
            npi="1234567890",
        ),
        Person(
            tenant="general-hospital",
            email="nurse.jones@hospital.com",
            name="Peter Jones",
            roles=("nurse",),
            fhir_user="Practitioner/456",
            npi="0987654321",
        ),
        Person(
            tenant="general-hospital",
            email="john.doe@email.com",
            name="John Doe",
            roles=("patient",),
            fhir_user="Patient/789",
            mrn="12345",
        ),
        Person(
            tenant="general-hospital",
            email="jane.doe@email.com",
            name="Jane Doe",
            roles=("patient",),
            fhir_user="Patient/790",
            mrn="12346",
        ),
        Person(
            tenant="general-hospital",
            email="admin@hospital.com",
            name="Ruth Adler",
            roles=("admin",),
        ),
    ),
    apps=(LAB_RESULTS, ORDER_ENTRY, EHR, ADMIN_API),
)
LAKESIDE_CLINIC = Organization(
    slug="lakeside-clinic",
    name="Lakeside Clinic",
    healthcare=True,
    people=(
        Person(
            tenant="lakeside-clinic",
            email="dr.adeyemi@lakeside.example",
            name="Dr. Folake Adeyemi",
            roles=("doctor",),
            fhir_user="Practitioner/123",
        ),
        Person(
            tenant="lakeside-clinic",
            email="luisa.ferreira@email.example",
            name="Luisa Ferreira",
            roles=("patient",),
            fhir_user="Patient/789",
        ),
        Person(
            tenant="lakeside-clinic",
            email="admin@lakeside.example",
            name="Noor Haddad",
            roles=("admin",),
        ),
    ),
    apps=(LAB_RESULTS, EHR, ADMIN_API),
)
ACME_WELLNESS = Organization(
    slug="acme-wellness",
    name="Acme Wellness",
    healthcare=False,
    people=(
        Person(
            tenant="acme-wellness",
            email="admin@acme.example",
            name="Ivo Brandt",
            roles=("admin",),
        ),
    ),
    apps=(ADMIN_API,),
)
PLATFORM = Organization(
    slug="platform",
    name="AuthFI",
    healthcare=False,
    people=(
        Person(
            tenant="platform",
            email="operator@authfi.example",
            name="Sam Rivera",
            roles=("operator",),
        ),
    ),
)

ORGANIZATIONS = (GENERAL_HOSPITAL, LAKESIDE_CLINIC, ACME_WELLNESS)
OPERATOR = PLATFORM.people[0]


def _derived(purpose: str) -> bytes:
    """32 bytes of this installation alone, the same at every start."""
    return hmac.digest(settings.SECRET_KEY.encode(), f"demo {purpose}".encode(), hashlib.sha256)
