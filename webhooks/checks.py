"""System checks of webhooks: how they prove where they come from, and where they are kept.

`manage.py check --deploy` runs them; `manage.py receipts` logs what it finds of the second kind.

sendmsg.W010  a connection's webhooks are all refused: it has nothing to check them with
sendmsg.W011  a connection's webhooks are not signed: a token or a password is all that they prove
sendmsg.W020  the Redis that keeps webhooks keeps them in memory only
sendmsg.W021  that Redis writes to disk some time after it has confirmed
sendmsg.W022  that Redis drops keys when it is full
sendmsg.E020  RECEIPTS_BUFFER_URL is of SQS, and boto3 is not installed
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db import Error

from dispatch import directory
from dispatch.directory import Entry
from webhooks import durability
from webhooks.inbound import buffer
from webhooks.inbound.base import Proof
from webhooks.inbound.registry import INBOUND


@checks.register(deploy=True)
def webhooks_are_proven(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Of the enabled connections. Silent without the database: a deployment is also checked where there is none."""
    try:
        entries = directory.entries().values()
    except Error:
        return []
    usable = [entry for entry in entries if entry.enabled and not entry.fault and entry.provider in INBOUND]
    return [message for entry in sorted(usable, key=lambda entry: entry.name) for message in _messages(entry)]


@checks.register(deploy=True)
def webhooks_are_kept(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Silent without that Redis, as above."""
    found = dict(durability.shortcomings())
    messages: list[CheckMessage] = []
    if "appendonly" in found:
        text = "Redis keeps acknowledged webhooks in memory only."
        messages.append(checks.Warning(text, hint="Set appendonly yes.", id="sendmsg.W020"))
    if "appendfsync" in found:
        text = f"Redis may lose acknowledged webhooks in a power cut: appendfsync {found['appendfsync']}."
        messages.append(checks.Warning(text, hint="Set appendfsync always.", id="sendmsg.W021"))
    if "maxmemory-policy" in found:
        text = f"Redis may drop acknowledged webhooks when it is full: maxmemory-policy {found['maxmemory-policy']}."
        messages.append(checks.Warning(text, hint="Set maxmemory-policy noeviction.", id="sendmsg.W022"))
    return messages


@checks.register
def buffer_can_be_used(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if not buffer.is_sqs() or find_spec("boto3") is not None:
        return []
    hint = "Install the extra: pip install 'sendmsg[sqs]', or boto3."
    return [checks.Error("RECEIPTS_BUFFER_URL is of SQS, which needs boto3.", hint=hint, id="sendmsg.E020")]


def _messages(entry: Entry) -> list[CheckMessage]:
    inbound = INBOUND[entry.provider]
    proof = inbound.proof(entry.credentials)
    if proof is Proof.NONE:
        hint = f"Add {inbound.secret_names[0]} to its credentials: docs/receipts.md has what {entry.provider} needs."
        text = f"All receipts and messages of the connection {entry.name} are refused."
        return [checks.Warning(text, hint=hint, id="sendmsg.W010")]
    if proof is Proof.SHARED:
        hint = "Let the provider sign them and add webhook_secrets; or add webhook_addresses, and keep its URL secret."
        text = f"Receipts and messages of the connection {entry.name} are not signed."
        return [checks.Warning(text, hint=hint, id="sendmsg.W011")]
    return []
