"""What an API key may do: the whole vocabulary, one line of meaning each.

An endpoint names the scope it needs with `sendmsg.api.permissions.requires`.
"""

from django.db import models


class Scope(models.TextChoices):
    """A permission that a key holds; the label is its meaning."""

    MESSAGES_WRITE = "messages:write", "Send messages, cancel those that have not left, replay dead letters."
    MESSAGES_READ = "messages:read", "Read messages, their states, timelines and dead letters."
    SUPPRESSIONS_WRITE = "suppressions:write", "Add and lift suppressions of recipients."
    SUPPRESSIONS_READ = "suppressions:read", "Read suppressions: who does not want messages."
    WEBHOOKS_WRITE = "webhooks:write", "Add, change and remove webhook endpoints, renew secrets, replay callbacks."
    WEBHOOKS_READ = "webhooks:read", "Read webhook endpoints and what became of their callbacks."
