from django.db import migrations, models

# Range partitions by day: a day is dropped at once when its retention ends, and inserts touch small indexes.
CREATE = """
CREATE TABLE logs_event (
    id uuid NOT NULL,
    message_id uuid NOT NULL,
    account_id uuid NOT NULL,
    type varchar(20) NOT NULL,
    at timestamptz NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX logs_event_message ON logs_event (message_id, at);
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.RunSQL(
            CREATE,
            "DROP TABLE logs_event",
            state_operations=[
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                        ("message_id", models.UUIDField(editable=False)),
                        ("account_id", models.UUIDField(editable=False)),
                        (
                            "type",
                            models.CharField(
                                choices=[
                                    ("accepted", "accepted"),
                                    ("released", "released"),
                                    ("sending", "sending"),
                                    ("sent", "sent"),
                                    ("retrying", "retrying"),
                                    ("delivered", "delivered"),
                                    ("undelivered", "undelivered"),
                                    ("failed", "failed"),
                                    ("expired", "expired"),
                                    ("canceled", "canceled"),
                                    ("unknown", "unknown"),
                                    ("receipt", "receipt"),
                                    ("replayed", "replayed"),
                                ],
                                editable=False,
                                max_length=20,
                            ),
                        ),
                        ("at", models.DateTimeField(editable=False)),
                        ("data", models.JSONField(default=dict, editable=False)),
                    ],
                    options={"ordering": ("at", "id")},
                )
            ],
        )
    ]
