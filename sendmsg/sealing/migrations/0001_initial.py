import django.db.models.functions.datetime
from django.db import migrations, models

import sendmsg.encryption
import sendmsg.sealing.models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="TextKey",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=sendmsg.sealing.models.new_id,
                        editable=False,
                        max_length=8,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "key",
                    sendmsg.encryption.EncryptedJSONField(default=sendmsg.sealing.models.new_key, editable=False),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("retired_at", models.DateTimeField(help_text="Since then it only reads.", null=True)),
            ],
        ),
    ]
