"""Every variable of the environment that SendMSG reads, as data. A test holds docs/settings.md against this table."""

from typing import Final

from sendmsg.environment import (
    Variable,
    boolean,
    database,
    fernet_keys,
    logins,
    mail_server,
    one_of,
    optional,
    optional_text,
    ratio,
    receipts_buffer,
    seconds,
    text,
    url,
    whole,
    words,
)

VARIABLES: Final = (
    Variable("SECRET_KEY", text, None, "Django's signing key: sessions and the admin's forms."),
    Variable("CREDENTIALS_KEYS", fernet_keys, None, "Fernet keys, newest first, that encrypt credentials and secrets."),
    Variable("DEBUG", boolean, "false", "Django's debug pages; never on a reachable host."),
    Variable("ALLOWED_HOSTS", words, "localhost,127.0.0.1", "Host names the web process answers to."),
    Variable(
        "PUBLIC_URL",
        url("http", "https"),
        "http://127.0.0.1:8000",
        "How providers reach this host; an https URL turns on secure cookies and HSTS.",
    ),
    Variable(
        "TRUST_PROXY",
        boolean,
        "false",
        "Believe X-Forwarded-Proto and -For: only behind a proxy that sets both.",
    ),
    Variable("DATABASE_URL", database, "postgresql://localhost/sendmsg", "The default database: messages, the truth."),
    Variable(
        "LOGS_DATABASE_URL",
        database,
        "postgresql://localhost/sendmsg_logs",
        "The logs database: the timeline, task failures.",
    ),
    Variable("REDIS_URL", url("redis", "rediss"), "redis://localhost:6379/0", "Receipts buffer and wake-ups."),
    Variable("REDIS_PREFIX", text, "sendmsg", "Put before every Redis key."),
    Variable(
        "BROKER_URL",
        url("amqp", "amqps", "redis", "rediss"),
        "amqp://guest:guest@localhost:5672//",
        "RabbitMQ; redis:// is for the embedded mode only.",
    ),
    Variable("LOG_LEVEL", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Least level that is logged."),
    Variable("METRICS_TOKEN", optional_text, "", "Bearer token that /metrics asks for; empty: open."),
    Variable(
        "METRICS_PORT",
        whole(0, 65_535),
        "0",
        "Where processes without a web server answer /metrics; 0: nowhere.",
    ),
    Variable(
        "ALERTS_TARGETS",
        words,
        "http://127.0.0.1:8000/metrics",
        "What manage.py alerts looks at: URLs with commas.",
    ),
    Variable(
        "ALERTS_WEBHOOK_URL", optional(url("http", "https")), "", "Where manage.py alerts posts to; empty: nowhere."
    ),
    Variable("ALERTS_MAIL_TO", words, "", "Whom manage.py alerts writes to, with commas; empty: nobody."),
    Variable(
        "EMAIL_URL",
        optional(mail_server),
        "",
        "The mail server: smtp://, smtp+tls:// or smtp+ssl://; empty: localhost.",
    ),
    Variable("EMAIL_FROM", optional_text, "sendmsg@localhost", "Whom our mail is from."),
    Variable(
        "FLOWER_BASIC_AUTH",
        optional(logins),
        "",
        "What Flower asks for, user:password, several with commas; it refuses to start without.",
    ),
    Variable(
        "DEFAULT_VALIDITY", seconds(60, 604_800), "86400", "Seconds a message may be tried when it names no valid_for."
    ),
    Variable("RELAY_BATCH", whole(1, 10_000), "500", "Messages the relay releases in one step."),
    Variable("RELAY_POLL", seconds(0.01, 10), "1", "Seconds an idle relay waits when nothing wakes it."),
    Variable(
        "RELEASE_LEASE",
        seconds(1, 3600),
        "60",
        "Seconds a released message may wait for a worker before it is released again.",
    ),
    Variable("SEND_LEASE", seconds(1, 3600), "45", "Seconds a worker may hold a message without renewing."),
    Variable("BACKLOG_LIMIT", whole(1, 100_000), "1000", "Messages released and not yet answered, per connection."),
    Variable(
        "PACING_SHARES",
        whole(1, 1000),
        "4",
        "Among how many worker processes a connection's rate is split while Redis is away.",
    ),
    Variable("TASK_BATCH", whole(1, 1000), "50", "Most messages in one deliver task."),
    Variable("RETRY_BASE", seconds(0.01, 3600), "2", "First retry waits up to this many seconds; doubles each time."),
    Variable("RETRY_CAP", seconds(0.01, 86_400), "300", "No retry waits longer than this many seconds."),
    Variable(
        "BREAKER_RATIO",
        ratio,
        "0.5",
        "Share of failed calls, above 0 and at most 1, at which a connection is left alone.",
    ),
    Variable(
        "ASK_AFTER",
        seconds(0, 3600),
        "60",
        "Seconds before a provider is asked about a message it may have taken: its lists lag behind.",
    ),
    Variable(
        "REGION",
        optional_text,
        "",
        "Region of this worker: it serves connections of that region and of none; empty: all.",
    ),
    Variable("CONNECT_TIMEOUT", seconds(0.05, 60), "3", "Seconds to reach a provider."),
    Variable("READ_TIMEOUT", seconds(0.05, 120), "10", "Seconds of silence from a provider."),
    Variable("TOTAL_TIMEOUT", seconds(0.05, 300), "15", "Seconds for one provider call in all."),
    Variable(
        "RECEIPT_PARKING",
        seconds(1, 604_800),
        "3600",
        "Seconds a receipt waits for its message before it counts as an orphan.",
    ),
    Variable(
        "CALLBACKS_ALLOW_HTTP", boolean, "false", "Callbacks to http URLs too: what they say can be read on the way."
    ),
    Variable(
        "CALLBACKS_ALLOW_PRIVATE",
        boolean,
        "false",
        "Callbacks to private addresses and to any port: only where every client may reach this host's network.",
    ),
    Variable("CALLBACKS_THREADS", whole(1, 500), "32", "Calls to clients' endpoints at a time, per process."),
    Variable(
        "CALLBACKS_KEPT",
        seconds(86_400, 31_536_000),
        "2592000",
        "Seconds that a callback is kept for looking up and replaying.",
    ),
    Variable(
        "RECEIPT_DEADLINE",
        seconds(60, 2_592_000),
        "259200",
        "Seconds a sent message may be without a final receipt before it is unknown.",
    ),
    Variable(
        "RECEIPTS_BUFFER_URL",
        optional(receipts_buffer),
        "",
        "Where webhooks are kept until they are processed: redis://, rediss:// or sqs://; empty: REDIS_URL.",
    ),
    Variable(
        "RECEIPTS_SPOOL_DIR",
        optional_text,
        "",
        "Folder for webhooks while buffer and broker are away; empty: none.",
    ),
)
