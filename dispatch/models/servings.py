"""When a worker last said that it serves a connection. `dispatch.serving` writes and reads it."""

from django.db import models

from dispatch.models.connections import Connection


class Serving(models.Model):
    """One row for each connection that any worker ever served."""

    connection = models.OneToOneField(Connection, primary_key=True, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(help_text="By the database's clock.")

    def __str__(self) -> str:
        return f"{self.connection_id}: {self.at:%Y-%m-%d %H:%M:%S}"
