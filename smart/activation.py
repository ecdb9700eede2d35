"""The one call that switches SMART on FHIR on for a tenant (contract, EHR-36, EHR-38)."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction as django_transaction
from django.utils import timezone

from audit import events, record
from authfi.lib import database, tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.transaction import transaction
from authfi.lib.ttl import Ttl
from smart import presets, upstream, upstream_checks
from smart.models import HealthcareModule
from smart.presets import Preset
from smart.scopes.syntax import ClinicalScope, MalformedScope, format_scopes, parse_scopes
from smart.upstream import UpstreamError
from smart.upstream_checks import Check, Findings
from tenants.http import fhir_base as public_fhir_base
from tenants.http import issuer

#: The members each way of signing in at the upstream needs beside `mode`.
AUTH_MEMBERS: Mapping[str, frozenset[str]] = {
    "none": frozenset(),
    "basic": frozenset({"username", "password"}),
    "static_bearer": frozenset({"token"}),
}
_LONGEST_CREDENTIAL = 4096
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")

_modules: Ttl[UUID, HealthcareModule | None] = Ttl(3.0)


class ActivationInputError(ValueError):
    """A value that was given cannot be right; `member` names it."""

    def __init__(self, member: str, problem: str) -> None:
        super().__init__(f"{member}: {problem}")
        self.member = member
        self.problem = problem


class ActivationRefusedError(Exception):
    """A check of the FHIR server failed: nothing was stored. `checks` ends with that one."""

    def __init__(self, checks: tuple[Check, ...]) -> None:
        failed = checks[-1]
        super().__init__(f"{failed.name}: {failed.detail} {failed.remedy}".strip())
        self.checks = checks


@dataclass(frozen=True, slots=True)
class Activation:
    """What is switched on, and where apps find it."""

    preset: str
    issuer: str
    fhir_base: str
    smart_configuration: str
    software: str
    fhir_version: str
    scopes: tuple[str, ...]
    version: int
    setup: tuple[str, ...]
    checks: tuple[Check, ...] = ()


def activate(
    *,
    preset: str,
    fhir_base: str | None = None,
    auth: Mapping[str, str] | None = None,
    scopes: Sequence[str] | None = None,
    actor: events.Actor,
) -> Activation:
    """Connect the bound tenant to a FHIR server, or to another one; safe to repeat.

    `auth` is `{"mode": "none"}`, `{"mode": "basic", "username", "password"}` or
    `{"mode": "static_bearer", "token"}`; `scopes` are the clinical scopes offered to launches, all
    that AuthFI enforces by default. The server is asked first: where a check fails nothing is
    stored. Raises ActivationInputError, ActivationRefusedError.
    """
    chosen = _preset(preset)
    connection = _connection(chosen, fhir_base, auth)
    offered = _scopes(scopes)
    findings = _checked(chosen, connection)
    if not findings.ok:
        _record_refusal(chosen, connection, findings.checks[-1], actor)
        raise ActivationRefusedError(findings.checks)
    module = _store(chosen, connection, offered, findings, actor)
    return _described(module, findings.checks)


def current() -> Activation | None:
    """What is switched on for the bound tenant, without asking the FHIR server."""
    found = module()
    return _described(found, ()) if found else None


def module() -> HealthcareModule | None:
    """The bound tenant's healthcare module; remembered for a few seconds."""
    tenant = tenancy.current()
    if hit := _modules.get(tenant.id):
        return hit.value
    asked_at = time.monotonic()
    return _modules.put(tenant.id, HealthcareModule.objects.first(), asked_at)


def remembered_at(tenant_id: UUID) -> float:
    """When this process last read the module, 0 where it must read it again: tells a change."""
    hit = _modules.get(tenant_id)
    return hit.at if hit else 0.0


async def amodule(tenant: TenantRef) -> HealthcareModule | None:
    """`module` for async code: from memory, else with one thread hop."""
    if hit := _modules.get(tenant.id):
        return hit.value
    return await database.run(tenant, module)


def is_active(tenant: TenantRef) -> bool:
    """Has the tenant healthcare on?"""
    with tenancy.bind(tenant):
        return module() is not None


def forget(tenant_id: UUID) -> None:
    """Read module and connection anew at the next call."""
    _modules.forget(tenant_id)
    upstream.forget(tenant_id)


def _preset(name: str) -> Preset:
    try:
        return presets.get(name)
    except presets.UnknownPresetError as error:
        raise ActivationInputError("preset", str(error)) from error


def _connection(
    preset: Preset, fhir_base: str | None, auth: Mapping[str, str] | None
) -> dict[str, Any]:
    if preset.needs_fhir_base and not fhir_base:
        raise ActivationInputError("fhir_base", f"the preset {preset.name} needs it")
    if not preset.needs_fhir_base and fhir_base:
        raise ActivationInputError("fhir_base", f"the preset {preset.name} finds it by itself")
    return {"fhir_base": (fhir_base or "").rstrip("/"), "auth": _auth(preset, auth)}


def _auth(preset: Preset, auth: Mapping[str, str] | None) -> dict[str, str]:
    given = dict({"mode": "none"} if auth is None else auth)
    mode = given.get("mode")
    if mode not in preset.auth_modes:
        allowed = ", ".join(preset.auth_modes)
        raise ActivationInputError("auth", f"mode is one of {allowed} with preset {preset.name}")
    needed = AUTH_MEMBERS[str(mode)]
    if given.keys() - {"mode"} != needed:
        members = ", ".join(["mode", *sorted(needed)])
        raise ActivationInputError("auth", f"mode {mode} has exactly these members: {members}")
    for name in needed:
        if not _is_credential(given[name]):
            raise ActivationInputError("auth", f"{name} is not a text of printable characters")
    if ":" in given.get("username", ""):
        raise ActivationInputError("auth", "a user name has no colon (RFC 7617 2)")
    if not _BEARER.fullmatch(given.get("token", "-")):
        raise ActivationInputError("auth", "the token is not a bearer token (RFC 6750 2.1)")
    return given


def _is_credential(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_CREDENTIAL and value.isprintable()


def _scopes(scopes: Sequence[str] | None) -> str:
    if scopes is None:
        return ""
    if not scopes:
        raise ActivationInputError("scopes", "an empty list offers nothing; leave it out for all")
    try:
        parsed = parse_scopes(" ".join(scopes))
    except MalformedScope as error:
        raise ActivationInputError("scopes", str(error)) from error
    others = [scope.text for scope in parsed if not isinstance(scope, ClinicalScope)]
    if others:
        raise ActivationInputError("scopes", f"not clinical scopes: {', '.join(others)}")
    return format_scopes(parsed)


def _checked(preset: Preset, connection: Mapping[str, Any]) -> Findings:
    try:
        found = upstream.connect(tenancy.current(), preset.name, connection)
    except UpstreamError as error:
        failed = Check("address", False, str(error), "Start it: `manage.py serve --demo` does.")
        return Findings((failed,))
    return upstream_checks.run(found)


def _store(
    preset: Preset,
    connection: Mapping[str, Any],
    scopes: str,
    findings: Findings,
    actor: events.Actor,
) -> HealthcareModule:
    tenant = tenancy.current()
    said = {"software": findings.software, "fhir_version": findings.fhir_version}
    with transaction():
        empty = HealthcareModule(
            preset="", connection={}, capabilities={}, version=0, checked_at=timezone.now()
        )
        HealthcareModule.objects.bulk_create([empty], ignore_conflicts=True)
        kept = HealthcareModule.objects.select_for_update().get()
        before = _told(kept) if kept.version else None
        kept.preset = preset.name
        kept.connection = {**connection, **said}
        kept.capabilities = findings.capabilities
        kept.scopes = scopes
        kept.version += 1
        kept.checked_at = timezone.now()
        kept.save()
        record.record(
            events.Event(
                code=events.Code.ADMIN_HEALTHCARE,
                outcome=events.Outcome.SUCCESS,
                actor=actor,
                object=f"HealthcareModule/{kept.pk}",
                details={"before": before, "after": _told(kept)},
            )
        )
        django_transaction.on_commit(lambda: forget(tenant.id))
    return kept


def _told(kept: HealthcareModule) -> dict[str, Any]:
    """What the audit trail keeps of a connection: no secret of it."""
    return {
        "preset": kept.preset,
        "fhir_base": kept.connection["fhir_base"],
        "auth_mode": kept.connection["auth"]["mode"],
        "scopes": kept.scopes,
        "version": kept.version,
    }


def _record_refusal(
    preset: Preset, connection: Mapping[str, Any], failed: Check, actor: events.Actor
) -> None:
    record.record(
        events.Event(
            code=events.Code.ADMIN_HEALTHCARE,
            outcome=events.Outcome.FAILURE,
            actor=actor,
            reason=f"{failed.name}: {failed.detail}",
            details={"after": {"preset": preset.name, "fhir_base": connection["fhir_base"]}},
        )
    )


def _described(kept: HealthcareModule, checks: tuple[Check, ...]) -> Activation:
    tenant = tenancy.current()
    base = public_fhir_base(tenant)
    return Activation(
        preset=kept.preset,
        issuer=issuer(tenant),
        fhir_base=base,
        smart_configuration=f"{base}/.well-known/smart-configuration",
        software=kept.connection["software"],
        fhir_version=kept.connection["fhir_version"],
        scopes=tuple(kept.scopes.split()),
        version=kept.version,
        setup=presets.get(kept.preset).setup,
        checks=checks,
    )
