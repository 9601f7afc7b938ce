from django.db import migrations, models

import sendmsg.sealing.fields


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0012_serving")]

    operations = [
        migrations.AddField(
            model_name="message",
            name="long",
            field=models.BooleanField(
                db_default=False, default=False, help_text="The text has more than 160 characters."
            ),
        ),
        migrations.AlterField(
            model_name="message",
            name="body",
            field=sendmsg.sealing.fields.SealedTextField(beyond=160, flag="long"),
        ),
        migrations.AlterField(
            model_name="broadcast",
            name="body",
            field=sendmsg.sealing.fields.SealedTextField(help_text="The text, with its placeholders."),
        ),
        migrations.AlterField(
            model_name="broadcastdraft",
            name="content",
            field=sendmsg.sealing.fields.SealedBinaryField(help_text="The file: CSV in UTF-8."),
        ),
        migrations.AlterField(
            model_name="broadcastdraft",
            name="fields",
            field=sendmsg.sealing.fields.SealedJSONField(help_text="As of POST /v1/broadcasts, without recipients."),
        ),
        migrations.AlterField(
            model_name="announcement",
            name="data",
            field=sendmsg.sealing.fields.SealedJSONField(
                help_text="What the callback says; of a message, what its row may not say any more."
            ),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="task",
            field=sendmsg.sealing.fields.SealedTextField(
                blank=True, help_text="The body of a dead task: ids, as it came."
            ),
        ),
    ]
