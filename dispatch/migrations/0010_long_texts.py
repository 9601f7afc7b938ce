import django.db.models.functions.text
import django.db.models.lookups
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # as an index that is built beside writes needs it
    dependencies = [("dispatch", "0009_retention")]

    operations = [
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(
                    django.db.models.lookups.GreaterThan(django.db.models.functions.text.Length("body"), 160),
                    ("body_length", None),
                    ("state__in", ["canceled", "delivered", "expired", "failed", "undelivered", "unknown"]),
                ),
                fields=["account", "updated_at"],
                name="message_long",
            ),
        ),
    ]
