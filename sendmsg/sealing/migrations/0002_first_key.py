from typing import Any

from django.db import migrations


def make_key(apps: Any, editor: Any) -> None:
    if not apps.get_model("accounts", "Account").objects.exists():
        apps.get_model("sealing", "TextKey").objects.create()


class Migration(migrations.Migration):
    """A new installation encrypts its texts from the first one on."""

    safe_because = "where there is no account yet, no process of an older version takes or sends messages"
    dependencies = [("sealing", "0001_initial"), ("accounts", "0004_retention")]

    operations = [migrations.RunPython(make_key, migrations.RunPython.noop)]
