"""Every setting of the project. What an operator may change is listed in `sendmsg.variables`."""

import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.http.request import validate_host
from kombu import Queue

from sendmsg import __version__
from sendmsg.environment import read_environment, refuse
from sendmsg.variables import VARIABLES

BASE_DIR = Path(__file__).resolve().parent.parent
ENVIRONMENT = read_environment(VARIABLES, BASE_DIR / ".env")

# Who we are

SECRET_KEY = ENVIRONMENT["SECRET_KEY"]
CREDENTIALS_KEYS = ENVIRONMENT["CREDENTIALS_KEYS"]
DEBUG = ENVIRONMENT["DEBUG"]
ALLOWED_HOSTS = ENVIRONMENT["ALLOWED_HOSTS"]
PUBLIC_URL = ENVIRONMENT["PUBLIC_URL"]
METRICS_TOKEN = ENVIRONMENT["METRICS_TOKEN"]
METRICS_PORT = ENVIRONMENT["METRICS_PORT"]
FLOWER_BASIC_AUTH = ENVIRONMENT["FLOWER_BASIC_AUTH"]
if not validate_host(urlsplit(PUBLIC_URL).hostname or "", ALLOWED_HOSTS):
    refuse("ALLOWED_HOSTS", "lacks the host of PUBLIC_URL: every receipt would be refused")

ROOT_URLCONF = "sendmsg.urls"
WSGI_APPLICATION = "webhooks.wsgi.application"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_celery_results",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "sendmsg",
    "sendmsg.accounts",
    "sendmsg.api",
    "sendmsg.journal",
    "sendmsg.logs",
    "sendmsg.sealing",
    "dispatch",
    "webhooks",
]
MIDDLEWARE = [
    "sendmsg.api.request_id.RequestIdMiddleware",
    "sendmsg.telemetry.middleware.MetricsMiddleware",
    "sendmsg.telemetry.trace_middleware.TraceMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # for whoever accepts it; hides the length of what it compresses
    "django.middleware.security.SecurityMiddleware",
    "sendmsg.api.parsing.ChunkedBodyMiddleware",
    "sendmsg.policy.ContentPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "sendmsg/templates"],  # before the admin's own, which stands first among the apps
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "sendmsg.formats"
STATIC_URL = "static/"
# An image has its static files collected; a checkout serves them straight from the packages.
_COLLECTED = BASE_DIR / "static"
STATIC_ROOT = _COLLECTED if _COLLECTED.exists() or "collectstatic" in sys.argv else None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None

# Databases

# A statement over these bounds is a mistake, not work: every query of ours takes milliseconds.
_DATABASE_LIMITS = "-c statement_timeout=20000 -c lock_timeout=10000"
# A process that is frozen in a transaction keeps its rows from everybody: others pass over what is locked. Longer than
# a statement on the logs database may take, which the log writer makes meanwhile.
_FROZEN_AFTER = "-c idle_in_transaction_session_timeout=25000"


def _database(name: str, limits: str) -> dict[str, Any]:
    config = {**ENVIRONMENT[name], "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
    config["OPTIONS"] = {"connect_timeout": 3, "options": limits, **config.get("OPTIONS", {})}
    return config


DATABASES = {
    "default": _database("DATABASE_URL", f"{_DATABASE_LIMITS} {_FROZEN_AFTER}"),
    "logs": _database("LOGS_DATABASE_URL", _DATABASE_LIMITS),
}
DATABASE_ROUTERS = ["sendmsg.logs.router.LogsRouter"]
if len({(each["HOST"], str(each["PORT"] or 5432), each["NAME"]) for each in DATABASES.values()}) == 1:
    refuse("LOGS_DATABASE_URL", "names the same database as DATABASE_URL: the logs need one of their own")

# What leaves the databases in the end (docs/retention.md)

ARCHIVE = ENVIRONMENT["ARCHIVE_URL"]
ARCHIVE_FORMAT = ENVIRONMENT["ARCHIVE_FORMAT"]
ARCHIVE_COMPRESSION = ENVIRONMENT["ARCHIVE_COMPRESSION"]
LOGS_RETENTION = timedelta(days=ENVIRONMENT["LOGS_RETENTION_DAYS"])
BODY_RETENTION_DAYS = ENVIRONMENT["BODY_RETENTION_DAYS"]
MESSAGE_RETENTION_DAYS = ENVIRONMENT["MESSAGE_RETENTION_DAYS"]
ARCHIVE_RETENTION_DAYS = ENVIRONMENT["ARCHIVE_RETENTION_DAYS"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    **({"archive": ARCHIVE} if ARCHIVE else {}),
}
if ARCHIVE_FORMAT == "parquet" and not find_spec("pyarrow"):
    refuse("ARCHIVE_FORMAT", "parquet needs the package pyarrow: install the extra parquet")
if (ARCHIVE_FORMAT, ARCHIVE_COMPRESSION) == ("ndjson", "zstd") and not find_spec("zstandard"):
    refuse("ARCHIVE_COMPRESSION", "zstd needs the package zstandard: install the extra zstd")
if ARCHIVE and "bucket_name" in ARCHIVE["OPTIONS"] and not find_spec("storages"):
    refuse("ARCHIVE_URL", "of S3 needs the package django-storages: install the extra s3")

# Redis

REDIS_URL = ENVIRONMENT["REDIS_URL"]
REDIS_PREFIX = ENVIRONMENT["REDIS_PREFIX"]

# Celery. A task carries ids, never text; the rows hold the truth, so no result and no retry of Celery's own is needed.

CELERY_BROKER_URL = ENVIRONMENT["BROKER_URL"]
BROKER_IS_RABBITMQ = CELERY_BROKER_URL.startswith("amqp")
CELERY_BROKER_CONNECTION_TIMEOUT = 2  # seconds; a dead broker must not hold the relay
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 2  # seconds; the default waits for ever
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = (
    None  # a worker outlives any outage of the broker; the default gives up after 100
)
CELERY_BROKER_CHANNEL_ERROR_RETRY = (
    True  # a channel closed by the broker (consumer timeout, 406) must not end the worker
)
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {"confirm_publish": True, "write_timeout": 5, "max_retries": 1, "interval_start": 0, "interval_step": 0.2}
    if BROKER_IS_RABBITMQ
    else {"visibility_timeout": 3600, "socket_timeout": 30, "socket_connect_timeout": 2}
)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_ACKS_ON_FAILURE = False  # a task that raises goes to the dead-letter exchange instead of vanishing
CELERY_TASK_REJECT_ON_WORKER_LOST = True  # bounded by the queue's delivery limit
CELERY_TASK_CREATE_MISSING_QUEUES = False  # a typo must not make a queue without a dead-letter exchange
CELERY_TASK_DEFAULT_QUEUE = "unrouted"
CELERY_TASK_QUEUES: list[Queue] = []  # connections are rows: workers and relay bring their queues (dispatch.topology)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = True  # failures only, in the logs database
CELERY_RESULT_BACKEND = "sendmsg.logs.results:FailureBackend"
CELERY_RESULT_EXTENDED = True  # the task's name and traceback; its arguments are ids
CELERY_RESULT_EXPIRES = timedelta(days=30)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # tasks are batches already
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CONSUMER = "dispatch.worker:DeliverConsumer"
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False  # threads can't be cancelled; the claim guards
# Celery closes every database connection around each task unless this is set (its fixup, since 5.6);
# dispatch.worker closes the ones that died instead.
CELERY_DB_REUSE_MAX = 2**62

# HTTP

HTTPS = urlsplit(PUBLIC_URL).scheme == "https"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes come from inside, without TLS
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
TRUST_PROXY = ENVIRONMENT["TRUST_PROXY"]
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576  # bytes; a receipt or an admin form, the API has a cap of its own

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["sendmsg.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["sendmsg.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "sendmsg.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SendMSG",
    "DESCRIPTION": "Send SMS and WhatsApp messages through every provider, and hear what became of each.",
    "VERSION": __version__,
    "SERVERS": [{"url": PUBLIC_URL}],
    "OAS_VERSION": "3.1.1",  # the first line of versions that has webhooks
    "WEBHOOKS": [
        f"webhooks.callbacks.documents.{name}"
        for name in (
            *("MESSAGE_STATE", "MESSAGE_RECEIVED", "BROADCAST_FINISHED"),
            *("SUPPRESSION_CHANGED", "ENDPOINT_DISABLED", "WEBHOOK_TEST"),
        )
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "sendmsg.api.schema.document_request_id",
    ],
    "ENUM_NAME_OVERRIDES": {
        "MessageStatus": "dispatch.states.State",
        "BroadcastStatus": "dispatch.vocabulary.BroadcastState",
        "Channel": "dispatch.vocabulary.Channel",
        "LetterState": "dispatch.vocabulary.LetterState",
        "CallbackState": "webhooks.callbacks.vocabulary.CallbackState",
        "EndpointState": "webhooks.callbacks.vocabulary.SHOWN_STATES",
        "ReplayableState": "webhooks.callbacks.vocabulary.REPLAYABLE_STATES",
    },
}

# Delivery (docs/settings.md explains each)

DEFAULT_VALIDITY = timedelta(seconds=ENVIRONMENT["DEFAULT_VALIDITY"])
RELAY_BATCH = ENVIRONMENT["RELAY_BATCH"]
RELAY_POLL = ENVIRONMENT["RELAY_POLL"]
RELEASE_LEASE = timedelta(seconds=ENVIRONMENT["RELEASE_LEASE"])
SEND_LEASE = timedelta(seconds=ENVIRONMENT["SEND_LEASE"])
BACKLOG_LIMIT = ENVIRONMENT["BACKLOG_LIMIT"]
PACING_SHARES = ENVIRONMENT["PACING_SHARES"]
TASK_BATCH = ENVIRONMENT["TASK_BATCH"]
RETRY_BASE = ENVIRONMENT["RETRY_BASE"]
RETRY_CAP = ENVIRONMENT["RETRY_CAP"]
BREAKER_RATIO = ENVIRONMENT["BREAKER_RATIO"]
ASK_AFTER = ENVIRONMENT["ASK_AFTER"]
REGION = ENVIRONMENT["REGION"]
CONNECT_TIMEOUT = ENVIRONMENT["CONNECT_TIMEOUT"]
READ_TIMEOUT = ENVIRONMENT["READ_TIMEOUT"]
TOTAL_TIMEOUT = ENVIRONMENT["TOTAL_TIMEOUT"]
RECEIPT_PARKING = timedelta(seconds=ENVIRONMENT["RECEIPT_PARKING"])
CALLBACKS_ALLOW_HTTP = ENVIRONMENT["CALLBACKS_ALLOW_HTTP"]
CALLBACKS_ALLOW_PRIVATE = ENVIRONMENT["CALLBACKS_ALLOW_PRIVATE"]
CALLBACKS_THREADS = ENVIRONMENT["CALLBACKS_THREADS"]
CALLBACKS_KEPT = timedelta(seconds=ENVIRONMENT["CALLBACKS_KEPT"])
RECEIPT_DEADLINE = timedelta(seconds=ENVIRONMENT["RECEIPT_DEADLINE"])
RECEIPTS_BUFFER_URL = ENVIRONMENT["RECEIPTS_BUFFER_URL"]
RECEIPTS_SPOOL_DIR = ENVIRONMENT["RECEIPTS_SPOOL_DIR"]
if RECEIPTS_SPOOL_DIR and not Path(RECEIPTS_SPOOL_DIR).is_dir():
    refuse("RECEIPTS_SPOOL_DIR", "names no folder: make it, for the user that runs web and receipts")
if RETRY_CAP < RETRY_BASE:
    refuse("RETRY_CAP", "must not be under RETRY_BASE")
if SEND_LEASE.total_seconds() < 3 * TOTAL_TIMEOUT:
    refuse("SEND_LEASE", "must be at least three times TOTAL_TIMEOUT, or a call for many messages is never made")

# Alerts, where no Prometheus looks after them (sendmsg.alerts)

ALERTS_TARGETS = ENVIRONMENT["ALERTS_TARGETS"]
ALERTS_WEBHOOK_URL = ENVIRONMENT["ALERTS_WEBHOOK_URL"]
ALERTS_MAIL_TO = ENVIRONMENT["ALERTS_MAIL_TO"]
_MAIL = ENVIRONMENT["EMAIL_URL"] or {}
EMAIL_HOST = _MAIL.get("EMAIL_HOST", "localhost")
EMAIL_PORT = _MAIL.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = _MAIL.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _MAIL.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _MAIL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _MAIL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = ENVIRONMENT["EMAIL_FROM"]

# Traces (docs/tracing.md)

TRACES_ENDPOINT = ENVIRONMENT["OTEL_EXPORTER_OTLP_ENDPOINT"]
TRACES_HEADERS = ENVIRONMENT["OTEL_EXPORTER_OTLP_HEADERS"]
TRACES_SERVICE = ENVIRONMENT["OTEL_SERVICE_NAME"]
TRACES_SAMPLER = ENVIRONMENT["OTEL_TRACES_SAMPLER"]
TRACES_RATIO = ENVIRONMENT["OTEL_TRACES_SAMPLER_ARG"]
if TRACES_ENDPOINT and find_spec("opentelemetry") is None:
    refuse("OTEL_EXPORTER_OTLP_ENDPOINT", "needs an extra: pip install 'sendmsg[otel]'")

# Logging: one line an event, on standard error; never a body, a full number or a secret

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "sendmsg.telemetry.logging.lines"},
        "json": {"()": "sendmsg.telemetry.logging.documents"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": ENVIRONMENT["LOG_FORMAT"]}},
    "root": {"handlers": ["stderr"], "level": ENVIRONMENT["LOG_LEVEL"]},
    "loggers": {
        "django.request": {"level": "ERROR"},  # 4xx are answers, not events
        "sendmsg.messages": {"level": "INFO" if ENVIRONMENT["LOG_MESSAGES"] else "WARNING"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # so is the 400 for somebody else's Host
    },
}
