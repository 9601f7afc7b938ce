import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0011_trace")]

    operations = [
        migrations.CreateModel(
            name="Serving",
            fields=[
                (
                    "connection",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="dispatch.connection",
                    ),
                ),
                ("at", models.DateTimeField(help_text="By the database's clock.")),
            ],
        ),
    ]
