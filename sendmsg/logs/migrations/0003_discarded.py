from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("logs", "0002_archive"),
    ]

    operations = [
        migrations.AlterField(
            model_name="event",
            name="type",
            field=models.CharField(
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
                    ("discarded", "discarded"),
                ],
                editable=False,
                max_length=20,
            ),
        ),
    ]
