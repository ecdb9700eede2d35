"""Settings, each environment variable read once; `.env.example` lists them.

`AUTHFI_MODE` is `demo` (the default: embedded, on this machine only), `test` or `production`.
"""

import secrets
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from authfi.lib import dbsession, localfiles

env = environ.FileAwareEnv()  # type: ignore[no-untyped-call]
BASE_DIR = Path(__file__).resolve().parent.parent

MODE = env.str("AUTHFI_MODE", default="")
if not MODE:
    meant = [
        name for name in ("DATABASE_URL", "REDIS_URL", "ORIGIN", "KEK_URL") if name in env.ENVIRON
    ]
    if meant:
        raise ImproperlyConfigured(f"{meant[0]} is set, but AUTHFI_MODE is not: say production.")
    MODE = "demo"
if MODE not in ("demo", "test", "production"):
    raise ImproperlyConfigured(f"AUTHFI_MODE is {MODE!r}: say demo, test or production.")
DEMO = MODE == "demo"
PRODUCTION = MODE == "production"

DATA_DIR = Path(env.str("DATA_DIR", default="") or BASE_DIR / ".data").resolve()
# `serve` notes its port there, so that a command beside a running demo names the same URLs.
PORT_FILE = DATA_DIR / "port"


def _noted_port() -> int:
    try:
        return int(PORT_FILE.read_text())
    except (OSError, ValueError):
        return 8000


HOST = env.str("HOST", default="127.0.0.1")
try:
    PORT = env.int("PORT", default=_noted_port() if DEMO else 8000)
except ValueError as error:
    raise ImproperlyConfigured(f"PORT: {error}.") from error
ORIGIN = env.str("ORIGIN") if PRODUCTION else env.str("ORIGIN", default=f"http://localhost:{PORT}")
ORIGIN = ORIGIN.rstrip("/")
if DEMO and HOST not in ("127.0.0.1", "localhost", "::1"):
    raise ImproperlyConfigured(f"HOST={HOST}: the demo is served on a loopback address only.")

DEBUG = False
SECRET_KEY = (
    env.str("SECRET_KEY")
    if PRODUCTION
    else localfiles.read_or_create(
        DATA_DIR / "secret.key", lambda: secrets.token_urlsafe(48).encode()
    ).decode()
)
KEK_URL = (
    env.str("KEK_URL")
    if PRODUCTION
    else env.str("KEK_URL", default=f"file://{DATA_DIR / 'kek.key'}")
)
AUDIT_KEY_FILE = Path(
    env.str("AUDIT_KEY_FILE")
    if PRODUCTION
    else env.str("AUDIT_KEY_FILE", default=str(DATA_DIR / "audit.key"))
)
# The newest checkpoint of each tenant's trail, outside the database (A6). Not a secret.
AUDIT_ANCHOR_FILE = Path(
    env.str("AUDIT_ANCHOR_FILE", default="") or DATA_DIR / "audit-anchors.json"
)
# Apart from SECRET_KEY, so that this one can be changed without voiding every password (N7).
PASSWORD_PEPPER = (
    env.str("PASSWORD_PEPPER")
    if PRODUCTION
    else localfiles.read_or_create(
        DATA_DIR / "pepper.key", lambda: secrets.token_urlsafe(48).encode()
    ).decode()
)


def _networks(variable: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(text) for text in env.list(variable, default=[])]
    except ValueError as error:
        raise ImproperlyConfigured(f"{variable}: {error}.") from error


TRUSTED_PROXIES = _networks("TRUSTED_PROXIES")
# Networks beyond the public Internet in which upstream servers may be (O19).
EGRESS_NETWORKS = _networks("EGRESS_NETWORKS")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[urlsplit(ORIGIN).hostname or ""])
if "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS: name the hosts; * stands for everyone's.")
if not PRODUCTION:
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "testserver"]

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.staticfiles",
    "oauth2_provider",
    "django_otp",
    "rest_framework",
    "csp",
    "authfi.crypto",
    "audit",
    "tenants",
    "authfi.accounts",
    "consent",
    "smart",
    "authfi",
]
if DEMO or MODE == "test":
    INSTALLED_APPS.append("smart.demo")

MIDDLEWARE = [
    "tenants.middleware.request_middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "tenants.middleware.tenant_middleware",
    "authfi.accounts.middleware.session_middleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "authfi.accounts.middleware.person_middleware",
]
ROOT_URLCONF = "authfi.urls"
TENANT_URLCONF = "authfi.tenant_urls"
ASGI_APPLICATION = "authfi.asgi.application"
SILENCED_SYSTEM_CHECKS = [
    "oauth2_provider.W006",  # our validator stores keyed digests, and no access tokens at all
    "oauth2_provider.W008",  # http is for loopback only, checked at registration (O3)
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "tenants.context.page",
            ],
        },
    }
]

DATABASE_ROUTERS: list[str] = []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _database(variable: str) -> dict[str, Any]:
    config: dict[str, Any] = dict(env.db(variable))
    config["CONN_MAX_AGE"] = 0
    if config["ENGINE"] == "django.db.backends.postgresql":
        config.setdefault("OPTIONS", {})
        config["OPTIONS"]["pool"] = {
            "min_size": env.int("DATABASE_POOL_MIN", default=1),
            "max_size": env.int("DATABASE_POOL_MAX", default=12),
            "timeout": 10,
            "reset": dbsession.clear_pooled,
        }
        config["OPTIONS"]["prepare_threshold"] = 3
    return config


if "DATABASE_URL" in env.ENVIRON:
    DATABASES = {"default": _database("DATABASE_URL")}
    DATABASE_APP_ROLE = DATABASES["default"]["USER"]
    if "DATABASE_OWNER_URL" in env.ENVIRON:
        owner = dict(env.db("DATABASE_OWNER_URL"))
        DATABASES["owner"] = {**owner, "TEST": {"MIRROR": "default"}}
elif PRODUCTION:
    raise ImproperlyConfigured("DATABASE_URL is not set: production runs on PostgreSQL.")
else:
    DATABASE_APP_ROLE = ""
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "authfi.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    }
MIGRATION_DATABASE = "owner" if "owner" in DATABASES else "default"
# Every model of the toolkit is swapped, so it has no table of its own to migrate.
MIGRATION_MODULES: dict[str, str | None] = {"oauth2_provider": None}

DATABASE_THREADS = env.int("DATABASE_THREADS", default=4)
_pool = DATABASES["default"].get("OPTIONS", {}).get("pool")
if _pool and _pool["max_size"] <= DATABASE_THREADS:
    raise ImproperlyConfigured(
        f"DATABASE_POOL_MAX={_pool['max_size']}: DATABASE_THREADS keep {DATABASE_THREADS} of the "
        "connections, and pages need some too."
    )
UPSTREAM_CONNECTIONS = env.int("UPSTREAM_CONNECTIONS", default=100)
REDIS_URL = env.str("REDIS_URL") if PRODUCTION else env.str("REDIS_URL", default="")
CACHES: dict[str, dict[str, Any]] = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

AUTH_USER_MODEL = "accounts.User"
# Signing in is `authfi.accounts.signin`; nothing else may do it.
AUTHENTICATION_BACKENDS: list[str] = []
PASSWORD_HASHERS = ["authfi.accounts.passwords.PepperedArgon2"]
ARGON2_MEMORY_KIB = env.int("ARGON2_MEMORY_KIB", default=1024 if MODE == "test" else 65_536)
ARGON2_TIME_COST = env.int("ARGON2_TIME_COST", default=1 if MODE == "test" else 3)
if PRODUCTION and (ARGON2_MEMORY_KIB < 19_456 or ARGON2_TIME_COST < 2):
    raise ImproperlyConfigured("Argon2 needs at least 19456 KiB of memory and a time cost of 2.")


def _limit(variable: str, default: int) -> int:
    """A limit may be raised, but not switched off (V1)."""
    limit = env.int(variable, default=default)
    if not 1 <= limit <= 10_000_000:
        raise ImproperlyConfigured(f"{variable}: from 1 to 10000000 a minute.")
    return limit


# Each a minute, in each tenant; what they count by is in `.env.example` (V1, ERRS-06).
LIMITS = {
    "sign_in_failures": _limit("LIMIT_SIGN_IN_FAILURES", 10),
    "token": _limit("LIMIT_TOKEN", 300),
    "introspection": _limit("LIMIT_INTROSPECTION", 6_000),
    "gateway": _limit("LIMIT_GATEWAY", 6_000),
    "refusals": _limit("LIMIT_REFUSALS", 500),
    "visits": _limit("LIMIT_VISITS", 2_000),
}

SESSION_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_USE_SESSIONS = True
CSRF_COOKIE_SECURE = PRODUCTION
CSRF_FAILURE_VIEW = "tenants.pages.csrf_failure"

SECURE_SSL_REDIRECT = PRODUCTION
# Believed of trusted proxies only: `request_middleware` removes it from everyone else's requests.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 63_072_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
# Nothing leaves for another origin. With "no-referrer" browsers would send our own forms with
# `Origin: null`, which the CSRF check refuses; answers that carry a code set it themselves.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 65_536
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    }
}

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

OAUTH2_PROVIDER_APPLICATION_MODEL = "smart.Application"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "smart.AccessToken"
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "smart.RefreshToken"
OAUTH2_PROVIDER_GRANT_MODEL = "smart.AuthorizationCode"
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "smart.IDToken"
OAUTH2_PROVIDER_DEVICE_GRANT_MODEL = "smart.DeviceGrant"
OAUTH2_PROVIDER = {
    "OAUTH2_VALIDATOR_CLASS": "smart.server.validator.SmartValidator",
    "ACCESS_TOKEN_EXPIRE_SECONDS": 900,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    "PKCE_REQUIRED": True,
    "OIDC_ENABLED": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https", "http"],
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["authfi.api.authentication.ManagementToken"],
    "DEFAULT_PERMISSION_CLASSES": ["authfi.api.permissions.HasManagementScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["authfi.api.parsers.StrictJSON"],
    "EXCEPTION_HANDLER": "authfi.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
}

CELERY_BROKER_URL = REDIS_URL or "filesystem://"
CELERY_TASK_ALWAYS_EAGER = MODE == "test"
CELERY_TASK_EAGER_PROPAGATES = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "authfi.lib.logs.JSONFormatter"}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stdout",
        }
    },
    "root": {"handlers": ["stdout"], "level": env.str("LOG_LEVEL", default="WARNING")},
    "loggers": {
        # Its messages hold paths, and paths hold record ids (D19); crashes are logged by
        # `tenants.pages`, with the route's name instead.
        "django.request": {"level": "CRITICAL"},
        "django.security": {"level": "CRITICAL"},
        # It tells codes and refresh tokens when it is asked to be talkative (O20).
        "oauthlib": {"level": "WARNING"},
    },
}
