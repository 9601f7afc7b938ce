from django.db import migrations, models


class Migration(migrations.Migration):
    safe_because = (
        "no version was released before it; what code of before writes is cast, and a log writer of before stops at what "
        "it does not know until it is replaced, while events wait. The table is as long as the log writer is behind."
    )

    dependencies = [("journal", "0001_initial")]

    operations = [
        migrations.AlterField("journalentry", "events", models.TextField(db_column="events")),
        migrations.RenameField("journalentry", "events", "text"),
        # Not compressed: that took as long as putting the text together, and an entry lives for a moment.
        migrations.RunSQL(
            "ALTER TABLE journal_journalentry ALTER COLUMN events SET STORAGE EXTERNAL",
            "ALTER TABLE journal_journalentry ALTER COLUMN events SET STORAGE EXTENDED",
        ),
    ]
