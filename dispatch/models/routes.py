"""Routes: which messages leave by which connections, and in what order. `dispatch.routes` reads and matches them."""

from django.db import models

from dispatch.models.connections import Connection
from dispatch.vocabulary import Channel
from sendmsg.accounts.models import Account


class Route(models.Model):
    """What a message must be like, and how it leaves then. Of the routes that fit, the first by position decides."""

    name = models.CharField(max_length=60, unique=True)
    position = models.PositiveIntegerField(
        default=100, help_text="Routes are tried in this order; the first that fits."
    )
    enabled = models.BooleanField(default=True)
    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.CASCADE, help_text="Empty: any.")
    channel = models.CharField(max_length=10, choices=Channel.choices, blank=True, help_text="Empty: any.")
    destinations = models.TextField(
        blank=True, help_text="Prefixes (+44, +4477) and countries (GB), separated by spaces. Empty: any."
    )
    senders = models.TextField(blank=True, help_text="One on a line. Empty: any.")
    priorities = models.CharField(
        max_length=30, blank=True, help_text="Of high, normal and bulk, separated by spaces. Empty: any."
    )
    reroute_undelivered = models.BooleanField(
        default=False, help_text="Try the next connection when a receipt says that a message did not arrive."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name


class RouteStep(models.Model):
    """One way out of a route. Steps of one position share by weight; a later one is for when no earlier one can."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(default=1)
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="+")
    weight = models.PositiveSmallIntegerField(default=100, help_text="Share among the steps of this position.")
    channel = models.CharField(
        max_length=10,
        choices=Channel.choices,
        blank=True,
        help_text="Send as this channel: SMS for WhatsApp messages. Empty: the message's own.",
    )
    sender = models.CharField(max_length=16, blank=True, help_text="Sender in place of the message's. Empty: its own.")

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return f"{self.position}: {self.connection_id}"
