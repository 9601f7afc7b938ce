"""The answers that idempotent requests are answered with again."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from sendmsg.accounts.keys import Mode
from sendmsg.sealing.fields import SealedTextField

_SCOPE = ["account_id", "mode", "endpoint", "key"]


class IdempotencyRecord(models.Model):
    """The answer to the first request with an Idempotency-Key, committed together with what the request did.

    Scoped to account, mode and endpoint. The account is no foreign key: these rows are written with every
    message and dropped after a day, and must neither lock the account's row nor keep it from being deleted.
    """

    id = models.BigAutoField(primary_key=True)
    account_id = models.UUIDField()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    endpoint = models.CharField(max_length=200, help_text="Method and path.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the canonical body, keyed once there is a key.")
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    body = SealedTextField(help_text="The JSON that was answered.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=_SCOPE, name="idempotency_scope")]

    def __str__(self) -> str:
        return f"{self.endpoint} of {self.account_id}"
