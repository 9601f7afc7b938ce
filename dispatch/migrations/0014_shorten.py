from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Left, Length
from django.db.models.lookups import Exact, GreaterThan

LONG = models.Q(long=True) | models.Q(GreaterThan(Length("body"), 160), ~models.Q(Exact(Left("body", 9), "sealed:1:")))


class Migration(migrations.Migration):
    """By the length of what is stored, which encryption changes, nobody looks any more."""

    atomic = False  # as an index that is built beside writes needs it
    dependencies = [("dispatch", "0013_sealed")]

    operations = [
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(
                    LONG,
                    ("body_length", None),
                    ("state__in", ["canceled", "delivered", "expired", "failed", "undelivered", "unknown"]),
                ),
                fields=["account", "updated_at"],
                name="message_shorten",
            ),
        ),
        RemoveIndexConcurrently(model_name="message", name="message_long"),
    ]
