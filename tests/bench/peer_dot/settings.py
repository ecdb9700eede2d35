"""Settings of the peer: Django's and the toolkit's defaults, and what makes it faster.

Connections stay open and the app's secret is stored as it is: hashing it would cost a
quarter of a second for each token. The key of the ID tokens is made for the run.
"""

import environ

env = environ.FileAwareEnv()

SECRET_KEY = env.str("PEER_SECRET_KEY")
DEBUG = False
ALLOWED_HOSTS = ["bench.example"]
ROOT_URLCONF = "tests.bench.peer_dot.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "oauth2_provider",
    "tests.bench.peer_dot",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
DATABASES = {
    "default": {
        **env.db("DATABASE_OWNER_URL"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"options": "-c search_path=peer_dot"},
    }
}
OAUTH2_PROVIDER = {
    "OIDC_ENABLED": True,
    "OIDC_RSA_PRIVATE_KEY": env.str("PEER_KEY"),
    "SCOPES": {
        "openid": "OpenID Connect",
        "read": "Read",
        "introspection": "Introspect tokens",
    },
}
