"""The search parameters this server knows, per resource type (FHIR R4 search-parameters)."""

from dataclasses import dataclass

TOKEN, STRING, DATE, REFERENCE, URI = "token", "string", "date", "reference", "uri"

# One parameter a line: name, kind, paths (joined by "|"), then target types of references.
# "name[system=email]" keeps only the list entries whose member has that value.
_TABLE = """
AllergyIntolerance
  patient reference patient Patient
  clinical-status token clinicalStatus
  verification-status token verificationStatus
  code token code|reaction.substance
  category token category
  criticality token criticality
  type token type
  date date recordedDate
  onset date reaction.onset
  recorder reference recorder Practitioner PractitionerRole Patient RelatedPerson
  asserter reference asserter Patient RelatedPerson Practitioner PractitionerRole
  identifier token identifier
CarePlan
  patient reference subject Patient
  subject reference subject Patient Group
  category token category
  status token status
  intent token intent
  date date period
  encounter reference encounter Encounter
  care-team reference careTeam CareTeam
  condition reference addresses Condition
  goal reference goal Goal
  identifier token identifier
CareTeam
  patient reference subject Patient
  subject reference subject Patient Group
  status token status
  category token category
  date date period
  encounter reference encounter Encounter
  participant reference participant.member Practitioner PractitionerRole Patient RelatedPerson \
Organization CareTeam
  role token participant.role
  identifier token identifier
Condition
  patient reference subject Patient
  subject reference subject Patient Group
  category token category
  code token code
  clinical-status token clinicalStatus
  verification-status token verificationStatus
  onset-date date onsetDateTime|onsetPeriod
  abatement-date date abatementDateTime|abatementPeriod
  recorded-date date recordedDate
  severity token severity
  encounter reference encounter Encounter
  asserter reference asserter Practitioner PractitionerRole Patient RelatedPerson
  identifier token identifier
Coverage
  patient reference beneficiary Patient
  beneficiary reference beneficiary Patient
  payor reference payor Organization Patient RelatedPerson
  policy-holder reference policyHolder Patient RelatedPerson Organization
  subscriber reference subscriber Patient RelatedPerson
  status token status
  type token type
  identifier token identifier
Device
  patient reference patient Patient
  type token type
  status token status
  manufacturer string manufacturer
  model string modelNumber
  device-name string deviceName.name
  organization reference owner Organization
  identifier token identifier
DiagnosticReport
  patient reference subject Patient
  subject reference subject Patient Group Device Location
  category token category
  code token code
  status token status
  date date effectiveDateTime|effectivePeriod
  issued date issued
  encounter reference encounter Encounter
  performer reference performer Practitioner PractitionerRole Organization CareTeam
  result reference result Observation
  specimen reference specimen Specimen
  based-on reference basedOn ServiceRequest CarePlan MedicationRequest
  conclusion token conclusionCode
  identifier token identifier
DocumentReference
  patient reference subject Patient
  subject reference subject Patient Practitioner Group Device
  category token category
  type token type
  status token status
  date date date
  period date context.period
  encounter reference context.encounter Encounter EpisodeOfCare
  author reference author Practitioner PractitionerRole Organization Device Patient RelatedPerson
  custodian reference custodian Organization
  contenttype token content.attachment.contentType
  description string description
  security-label token securityLabel
  identifier token identifier|masterIdentifier
Encounter
  patient reference subject Patient
  subject reference subject Patient Group
  status token status
  class token class
  type token type
  date date period
  participant reference participant.individual Practitioner PractitionerRole RelatedPerson
  practitioner reference participant.individual Practitioner
  location reference location.location Location
  reason-code token reasonCode
  diagnosis reference diagnosis.condition Condition Procedure
  service-provider reference serviceProvider Organization
  part-of reference partOf Encounter
  identifier token identifier
Goal
  patient reference subject Patient
  subject reference subject Patient Group Organization
  lifecycle-status token lifecycleStatus
  achievement-status token achievementStatus
  category token category
  description token description
  start-date date startDate
  target-date date target.dueDate
  identifier token identifier
Group
  member reference member.entity Patient Practitioner PractitionerRole Device Medication Group
  type token type
  actual token actual
  code token code
  managing-entity reference managingEntity Organization Practitioner
  identifier token identifier
Immunization
  patient reference patient Patient
  status token status
  vaccine-code token vaccineCode
  date date occurrenceDateTime
  location reference location Location
  performer reference performer.actor Practitioner PractitionerRole Organization
  lot-number string lotNumber
  identifier token identifier
List
  patient reference subject Patient
  subject reference subject Patient Group Device Location
  code token code
  status token status
  date date date
  item reference entry.item
  source reference source Practitioner PractitionerRole Patient Device
  title string title
  identifier token identifier
Location
  name string name|alias
  address string address
  address-city string address.city
  address-state string address.state
  address-postalcode string address.postalCode
  status token status
  type token type
  organization reference managingOrganization Organization
  partof reference partOf Location
  identifier token identifier
Medication
  code token code
  status token status
  form token form
  lot-number token batch.lotNumber
  identifier token identifier
MedicationDispense
  patient reference subject Patient
  subject reference subject Patient Group
  status token status
  type token type
  code token medicationCodeableConcept
  medication reference medicationReference Medication
  prescription reference authorizingPrescription MedicationRequest
  context reference context Encounter EpisodeOfCare
  performer reference performer.actor Practitioner PractitionerRole Organization Patient
  whenhandedover date whenHandedOver
  whenprepared date whenPrepared
  identifier token identifier
MedicationRequest
  patient reference subject Patient
  subject reference subject Patient Group
  status token status
  intent token intent
  category token category
  priority token priority
  code token medicationCodeableConcept
  medication reference medicationReference Medication
  authoredon date authoredOn
  date date dosageInstruction.timing.event
  encounter reference encounter Encounter
  requester reference requester Practitioner PractitionerRole Organization Patient RelatedPerson
  identifier token identifier
Observation
  patient reference subject Patient
  subject reference subject Patient Group Device Location
  focus reference focus
  category token category
  code token code
  combo-code token code|component.code
  component-code token component.code
  value-concept token valueCodeableConcept
  data-absent-reason token dataAbsentReason
  status token status
  date date effectiveDateTime|effectivePeriod|effectiveInstant|effectiveTiming.event
  encounter reference encounter Encounter
  performer reference performer Practitioner PractitionerRole Organization CareTeam Patient \
RelatedPerson
  specimen reference specimen Specimen
  based-on reference basedOn ServiceRequest CarePlan MedicationRequest
  has-member reference hasMember Observation
  derived-from reference derivedFrom Observation DocumentReference
  device reference device Device
  identifier token identifier
Organization
  name string name|alias
  active token active
  address string address
  address-city string address.city
  address-state string address.state
  address-postalcode string address.postalCode
  type token type
  partof reference partOf Organization
  identifier token identifier
Patient
  name string name
  family string name.family
  given string name.given
  birthdate date birthDate
  death-date date deceasedDateTime
  gender token gender
  active token active
  address string address
  address-city string address.city
  address-state string address.state
  address-postalcode string address.postalCode
  telecom token telecom
  email token telecom[system=email]
  phone token telecom[system=phone]
  language token communication.language
  general-practitioner reference generalPractitioner Practitioner Organization PractitionerRole
  organization reference managingOrganization Organization
  link reference link.other Patient RelatedPerson
  identifier token identifier
Practitioner
  name string name
  family string name.family
  given string name.given
  active token active
  gender token gender
  telecom token telecom
  email token telecom[system=email]
  phone token telecom[system=phone]
  identifier token identifier
PractitionerRole
  practitioner reference practitioner Practitioner
  organization reference organization Organization
  location reference location Location
  role token code
  specialty token specialty
  active token active
  date date period
  identifier token identifier
Procedure
  patient reference subject Patient
  subject reference subject Patient Group
  status token status
  category token category
  code token code
  date date performedDateTime|performedPeriod
  encounter reference encounter Encounter
  performer reference performer.actor Practitioner PractitionerRole Organization Patient
  location reference location Location
  reason-reference reference reasonReference Condition Observation
  based-on reference basedOn ServiceRequest CarePlan
  identifier token identifier
Provenance
  target reference target
  patient reference target Patient
  agent reference agent.who Practitioner PractitionerRole Organization Patient Device RelatedPerson
  agent-type token agent.type
  recorded date recorded
  when date occurredDateTime|occurredPeriod
RelatedPerson
  patient reference patient Patient
  name string name
  relationship token relationship
  active token active
  gender token gender
  birthdate date birthDate
  telecom token telecom
  email token telecom[system=email]
  phone token telecom[system=phone]
  identifier token identifier
ServiceRequest
  patient reference subject Patient
  subject reference subject Patient Group Device Location
  status token status
  intent token intent
  category token category
  code token code
  priority token priority
  authored date authoredOn
  occurrence date occurrenceDateTime|occurrencePeriod
  encounter reference encounter Encounter
  requester reference requester Practitioner PractitionerRole Organization Patient RelatedPerson
  performer reference performer Practitioner PractitionerRole Organization CareTeam
  specimen reference specimen Specimen
  identifier token identifier
Specimen
  patient reference subject Patient
  subject reference subject Patient Group Device Location
  type token type
  status token status
  collected date collection.collectedDateTime|collection.collectedPeriod
  collector reference collection.collector Practitioner PractitionerRole
  accession token accessionIdentifier
  identifier token identifier
"""


@dataclass(frozen=True)
class Path:
    """Member names from the resource down; `only` filters list entries by one member's value."""

    steps: tuple[str, ...]
    only: tuple[str, str] | None = None


@dataclass(frozen=True)
class Parameter:
    """One search parameter: its kind, where its values are, and what references may name."""

    name: str
    kind: str
    paths: tuple[Path, ...]
    targets: tuple[str, ...] = ()


COMMON = {
    "_profile": Parameter("_profile", URI, (Path(("meta", "profile")),)),
    "_tag": Parameter("_tag", TOKEN, (Path(("meta", "tag")),)),
    "_security": Parameter("_security", TOKEN, (Path(("meta", "security")),)),
}


def _parse_path(text: str) -> Path:
    if "[" not in text:
        return Path(tuple(text.split(".")))
    steps, _, rest = text.partition("[")
    member, _, wanted = rest.rstrip("]").partition("=")
    return Path(tuple(steps.split(".")), (member, wanted))


def _parse_table(table: str) -> dict[str, dict[str, Parameter]]:
    types: dict[str, dict[str, Parameter]] = {}
    current: dict[str, Parameter] = {}
    for line in table.strip().splitlines():
        if not line.startswith(" "):
            current = types[line] = dict(COMMON)
            continue
        name, kind, paths, *targets = line.split()
        parsed = tuple(_parse_path(path) for path in paths.split("|"))
        current[name] = Parameter(name, kind, parsed, tuple(targets))
    return types


PARAMETERS = _parse_table(_TABLE)


def parameters_of(resource_type: str) -> dict[str, Parameter]:
    """The search parameters of a type, by name, without `_id` and `_lastUpdated`."""
    return PARAMETERS.get(resource_type, COMMON)
