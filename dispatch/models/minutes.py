"""What became of the messages of each minute, counted for people to look at. `dispatch.minutes` counts."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Minute(models.Model):
    """The live messages that were accepted in one minute. Their states go on changing, so it is counted again, later
    and later."""

    at = models.DateTimeField(primary_key=True, help_text="When it begins.")
    states = models.JSONField(default=dict, help_text="How many are in each state.")
    codes = models.JSONField(default=dict, help_text="How many have each error code; the most frequent.")
    waits = ArrayField(
        models.IntegerField(), default=list, help_text="From accepted to taken by the provider; a bucket each."
    )
    counted_at = models.DateTimeField(null=True, help_text="Empty: not yet.")
    again_at = models.DateTimeField(null=True, help_text="When it is counted again. Empty: never.")

    class Meta:
        ordering = ("at",)
        indexes = [models.Index(fields=["again_at"], name="minute_again", condition=models.Q(again_at__isnull=False))]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"
