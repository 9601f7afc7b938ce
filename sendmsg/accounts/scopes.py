"""What an API key may do: the whole vocabulary, one line of meaning each.

An endpoint names the scope it needs with `sendmsg.api.permissions.requires`.
"""

from django.db import models


class Scope(models.TextChoices):
    """A permission that a key holds; the label is its meaning."""

    MESSAGES_WRITE = "messages:write", "Send messages and cancel those that have not left."
    MESSAGES_READ = "messages:read", "Read messages, their states and their timelines."
