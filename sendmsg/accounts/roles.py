"""Who may do what in the admin: three groups, made and brought up to date by every `migrate` of the default database.

    viewer    sees what happens, and no text of a message; numbers are masked for everybody
    operator  reads texts; replays, discards, pauses, resumes, weighs, uploads broadcasts, suppresses recipients; audit
    admin     makes connections with their credentials, API keys, routes, accounts and users

Each may do what those before may. The groups are what this page says: what is changed by hand is put back. Whoever
needs something in between is given a group of another name.
"""

from typing import Final

from django.contrib.auth.models import Group, Permission
from django.db import router
from django.db.models import QuerySet

VIEWER: Final = frozenset(
    {
        "accounts.view_account",
        "dispatch.view_attempt",
        "dispatch.view_broadcast",
        "dispatch.view_connection",
        "dispatch.view_connectionevent",
        "dispatch.view_deadletter",
        "dispatch.view_message",
        "dispatch.view_route",
        "dispatch.view_routestep",
        "dispatch.view_suppression",
        "webhooks.view_callback",
        "webhooks.view_endpoint",
        "webhooks.view_inbound",
        "webhooks.view_inboundnumber",
        "webhooks.view_receipt",
    }
)
OPERATOR: Final = VIEWER | {
    "admin.view_logentry",
    "dispatch.add_broadcast",
    "dispatch.add_suppression",
    "dispatch.change_broadcast",
    "dispatch.change_deadletter",
    "dispatch.operate_connection",
    "dispatch.read_text",
    "django_celery_results.view_taskresult",
    "webhooks.change_callback",
    "webhooks.change_endpoint",
}
ADMIN: Final = OPERATOR | {
    "accounts.add_account",
    "accounts.add_apikey",
    "accounts.change_account",
    "accounts.change_apikey",
    "accounts.delete_account",
    "accounts.view_apikey",
    "auth.add_user",
    "auth.change_user",
    "auth.view_group",
    "auth.view_user",
    "dispatch.add_connection",
    "dispatch.add_route",
    "dispatch.add_routestep",
    "dispatch.change_connection",
    "dispatch.change_route",
    "dispatch.change_routestep",
    "dispatch.delete_connection",
    "dispatch.delete_route",
    "dispatch.delete_routestep",
    "dispatch.delete_suppression",
    "webhooks.add_inboundnumber",
    "webhooks.change_inboundnumber",
    "webhooks.delete_inboundnumber",
}
ROLES: Final = {"viewer": VIEWER, "operator": OPERATOR, "admin": ADMIN}


def ensure(using: str = "default") -> None:
    """Make the groups what they should be. A permission that does not exist yet is given at the next `migrate`."""
    if not router.allow_migrate_model(using, Group):
        return
    known = {f"{row.content_type.app_label}.{row.codename}": row for row in _wanted(using)}
    for name, names in ROLES.items():
        group, _ = Group.objects.using(using).get_or_create(name=name)
        group.permissions.set(known[one] for one in sorted(names & known.keys()))


def _wanted(using: str) -> QuerySet[Permission]:
    codenames = {name.partition(".")[2] for name in ADMIN}
    return Permission.objects.using(using).filter(codename__in=codenames).select_related("content_type")
