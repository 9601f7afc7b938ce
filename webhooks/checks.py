"""System checks of how webhooks prove where they come from; `manage.py check --deploy` runs them.

sendmsg.W010  a connection's webhooks are all refused: it has nothing to check them with
sendmsg.W011  a connection's webhooks are not signed: a token or a password is all that they prove
"""

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db import Error

from dispatch import directory
from dispatch.directory import Entry
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
