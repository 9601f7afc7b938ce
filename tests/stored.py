"""What the databases hold as text: as a thief of a dump reads it, and as whoever has the keys does."""

from collections.abc import Iterator

from django.db import connections


def dump(alias: str = "default") -> str:
    """Every row of every table of a database, as text, a row a line; files as the letters that are in them too."""
    return "\n".join(_rows(alias))


def opened() -> str:
    """What is stored encrypted in the default database, opened, a value a line."""
    from sendmsg.sealing.rewriting import columns

    lines = []
    for model, field in columns():
        for value in model._default_manager.order_by("pk").values_list(field.name, flat=True):
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            lines.append(f"{model._meta.db_table}: {text}".replace("\n", " "))
    return "\n".join(lines)


def lose_keys() -> None:
    """As if the rows of the text keys were gone, and this process had never known them."""
    from sendmsg.sealing import keys
    from sendmsg.sealing.models import TextKey

    TextKey.objects.all().delete()
    keys.forget()


def lock_keys() -> None:
    """As if this process had other CREDENTIALS_KEYS than the one that made the text keys."""
    from cryptography.fernet import Fernet

    from sendmsg.sealing import keys

    other = Fernet(Fernet.generate_key()).encrypt(b'""').decode()
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE sealing_textkey SET key = %s", [other])
    keys.forget()


def write_in_clear() -> None:
    """As an installation that has no key of texts yet."""
    from sendmsg.sealing import keys

    keys.retire()
    keys.forget()


def _rows(alias: str) -> Iterator[str]:
    with connections[alias].cursor() as cursor:
        names = [name for name in connections[alias].introspection.table_names(cursor) if name != "django_migrations"]
        for table in names:
            cursor.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND atttypid = 'bytea'::regtype AND NOT attisdropped",
                [f'"{table}"'],
            )
            files = "".join(f", encode(\"{row[0]}\", 'escape')" for row in cursor.fetchall())
            cursor.execute(f"SELECT concat_ws(' ', t::text{files}) FROM \"{table}\" t")
            yield from (f"{table}: {row[0]}" for row in cursor.fetchall())
