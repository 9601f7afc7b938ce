"""Roles: what each may see and do in the admin, by every page and every action, and that no POST gets around it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db.models.signals import post_migrate
from django.test import Client
from django.urls import reverse

from dispatch.models import Broadcast, Connection, DeadLetter, Message, Suppression
from dispatch.states import State
from dispatch.vocabulary import BroadcastState
from sendmsg.accounts import roles
from sendmsg.accounts.models import Account, ApiKey
from sendmsg.accounts.roles import ROLES
from tests.cast import make_key
from tests.factories import (
    make_attempt,
    make_connection,
    make_inbound,
    make_letter,
    make_message,
    make_suppression,
)
from tests.webhooks.callbacks.driving import make_endpoint
from webhooks.callbacks.models import Callback, Endpoint

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
every_role = pytest.mark.parametrize("role", ROLES)
SENIORITY = list(ROLES)
PAGES = [(model._meta.app_label, model._meta.model_name) for model in admin.site._registry]
TEXT = "what nobody else should read"
NUMBER = "+447700900123"


def member(role: str, name: str = "dana") -> Client:
    """Somebody of that role, logged in."""
    roles.ensure()
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, page: str, action: str, row: Any, **fields: str) -> Any:
    url = reverse(f"admin:{page}_changelist")
    return client.post(url, {"action": action, "_selected_action": str(row.pk), **fields}, follow=True)


class TestTheGroups:
    def test_migrating_makes_them(self) -> None:
        Group.objects.all().delete()

        for config in apps.get_app_configs():
            post_migrate.send(config, app_config=config, verbosity=0, interactive=False, using="default", plan=[])

        for name, names in ROLES.items():
            permissions = Group.objects.get(name=name).permissions.select_related("content_type")
            assert {f"{one.content_type.app_label}.{one.codename}" for one in permissions} == names

    def test_the_logs_database_has_none(self) -> None:
        Group.objects.all().delete()

        roles.ensure("logs")

        assert not Group.objects.exists()

    def test_what_was_changed_by_hand_is_put_back(self) -> None:
        roles.ensure()
        viewer = Group.objects.get(name="viewer")
        before = set(viewer.permissions.all())
        viewer.permissions.set(Group.objects.get(name="admin").permissions.all())

        roles.ensure()

        assert set(viewer.permissions.all()) == before

    def test_each_may_do_what_those_before_may(self) -> None:
        assert ROLES["viewer"] < ROLES["operator"] < ROLES["admin"]


class TestPages:
    @every_role
    def test_a_role_sees_the_lists_that_it_may_and_no_other(self, role: str) -> None:
        client = member(role)

        for app, model in PAGES:
            allowed = f"{app}.view_{model}" in ROLES[role]
            answer = client.get(reverse(f"admin:{app}_{model}_changelist"))
            assert answer.status_code == (200 if allowed else 403), model

    @every_role
    def test_a_role_adds_what_it_may_and_nothing_else(self, role: str) -> None:
        client = member(role)

        for app, model in PAGES:
            allowed = f"{app}.add_{model}" in ROLES[role] and model != "broadcast"
            for send in (client.get, client.post):
                answer = send(reverse(f"admin:{app}_{model}_add"))
                assert answer.status_code == (200 if allowed else 403), model

    @every_role
    def test_uploading_is_for_operators(self, role: str) -> None:
        client = member(role)

        for send in (client.get, client.post):
            answer = send(reverse("admin:dispatch_broadcast_upload"))
            assert answer.status_code == (403 if role == "viewer" else 200)

    def test_without_a_role_there_is_nothing_to_see(self) -> None:
        user = User.objects.create_user("eve", is_staff=True)
        client = Client()
        client.force_login(user)

        answers = {client.get(reverse(f"admin:{app}_{model}_changelist")).status_code for app, model in PAGES}

        assert answers == {403}

    def test_every_page_has_somebody_who_may_see_it(self) -> None:
        assert {f"{app}.view_{model}" for app, model in PAGES} <= ROLES["admin"]


class TestChanging:
    @pytest.fixture
    def rows(self, acme: Account) -> list[Any]:
        """One of each kind that somebody could want to edit or delete."""
        make_key(acme)
        message = make_message(acme, State.FAILED)
        letter = make_letter(message)
        return [acme, ApiKey.objects.get(), message, letter, Connection.objects.get(), make_suppression(acme)]

    @every_role
    def test_a_post_changes_and_deletes_only_what_the_role_may(self, rows: list[Any], role: str) -> None:
        client = member(role)
        never = {("change", ApiKey), ("delete", ApiKey), ("change", Suppression), ("change", Message)}
        never |= {("change", DeadLetter), ("delete", Connection)}  # one that was used stays

        for row in rows:
            app, model = row._meta.app_label, row._meta.model_name
            for what in ("change", "delete"):
                may = f"{app}.{what}_{model}" in ROLES[role] and (what, type(row)) not in never
                answer = client.post(reverse(f"admin:{app}_{model}_{what}", args=[row.pk]), {})
                assert answer.status_code == (200 if may else 403), (what, model)


def paused(row: Connection) -> bool:
    return Connection.objects.get(pk=row.pk).paused_at is not None


def failed_letter(acme: Account) -> DeadLetter:
    return make_letter(make_message(acme, State.FAILED))


def a_broadcast(acme: Account, state: BroadcastState = BroadcastState.RUNNING) -> Broadcast:
    message = make_message(acme)
    return Broadcast.objects.create(
        account=acme, channel="sms", body="x", state=state, expires_at=message.expires_at, created_at=message.created_at
    )


def a_callback(acme: Account) -> Callback:
    endpoint = make_endpoint(acme, "https://client.example/hook")
    now = make_message(acme).created_at
    return Callback.objects.create(
        endpoint=endpoint,
        event_id=endpoint.id,
        type="message.sent",
        body="{}",
        happened_at=now,
        due_at=now,
        state="failed",
    )


Case = tuple[str, str, Callable[[Account], Any], dict[str, str], Callable[[Any], bool]]
ACTIONS: dict[str, Case] = {
    "replay": (
        "dispatch_deadletter",
        "replay",
        failed_letter,
        {"newest": "ffffffff-ffff-ffff-ffff-ffffffffffff", "note": "again"},
        lambda row: DeadLetter.objects.get(pk=row.pk).state == "replayed",
    ),
    "discard": (
        "dispatch_deadletter",
        "discard",
        failed_letter,
        {"newest": "ffffffff-ffff-ffff-ffff-ffffffffffff", "note": "old"},
        lambda row: DeadLetter.objects.get(pk=row.pk).state == "discarded",
    ),
    "pause": ("dispatch_connection", "pause", lambda acme: make_connection(), {"reason": "an outage"}, paused),
    "weigh": (
        "dispatch_connection",
        "weigh",
        lambda acme: make_connection(),
        {"weight": "7"},
        lambda row: Connection.objects.get(pk=row.pk).weight == 7,
    ),
    "pause a broadcast": (
        "dispatch_broadcast",
        "pause",
        a_broadcast,
        {},
        lambda row: Broadcast.objects.get(pk=row.pk).state == BroadcastState.PAUSED,
    ),
    "cancel a broadcast": (
        "dispatch_broadcast",
        "cancel",
        a_broadcast,
        {"confirmed": "yes"},
        lambda row: Broadcast.objects.get(pk=row.pk).state == BroadcastState.CANCELING,
    ),
    "disable an endpoint": (
        "webhooks_endpoint",
        "disable",
        lambda acme: make_endpoint(acme, "https://client.example/hook"),
        {},
        lambda row: Endpoint.objects.get(pk=row.pk).state == "disabled",
    ),
    "send a callback again": (
        "webhooks_callback",
        "replay",
        a_callback,
        {},
        lambda row: Callback.objects.get(pk=row.pk).state == "waiting",
    ),
}


class TestActions:
    @every_role
    @pytest.mark.parametrize("name", ACTIONS)
    def test_operators_act_and_viewers_do_not_even_by_a_post(self, acme: Account, role: str, name: str) -> None:
        page, action, make, fields, happened = ACTIONS[name]
        row = make(acme)

        act(member(role), page, action, row, **fields)

        assert happened(row) == (role != "viewer")

    @pytest.mark.parametrize("name", ACTIONS)
    def test_what_was_done_is_in_the_audit(self, acme: Account, name: str) -> None:
        page, action, make, fields, _ = ACTIONS[name]
        row = make(acme)
        client = member("operator")

        act(client, page, action, row, **fields)

        entry = LogEntry.objects.get()
        assert (entry.user.get_username(), entry.object_id) == ("dana", str(row.pk))
        assert entry.get_change_message() in client.get(reverse("admin:admin_logentry_changelist")).text

    @every_role
    def test_keys_are_revoked_by_admins_alone(self, acme: Account, role: str) -> None:
        make_key(acme)
        key = ApiKey.objects.get()

        act(member(role), "accounts_apikey", "revoke", key)

        key.refresh_from_db()
        assert (key.revoked_at is not None) == (role == "admin")

    @every_role
    def test_a_suppression_is_lifted_by_admins_alone(self, acme: Account, role: str) -> None:
        row = make_suppression(acme)

        act(member(role), "dispatch_suppression", "delete_selected", row, post="yes")

        assert Suppression.objects.exists() == (role != "admin")


class TestSecrets:
    @every_role
    def test_credentials_are_named_to_admins_alone(self, role: str) -> None:
        row = make_connection("line", credentials={"api_key": "very-secret"})
        client = member(role)

        page = client.get(reverse("admin:dispatch_connection_change", args=[row.pk])).text

        assert "very-secret" not in page
        assert ("api_key" in page) == (role == "admin")

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    def test_a_connection_is_edited_by_no_post_of_theirs(self, role: str) -> None:
        row = make_connection("line", base_url="https://before.example")

        answer = member(role).post(
            reverse("admin:dispatch_connection_change", args=[row.pk]), {"base_url": "https://after.example"}
        )

        assert answer.status_code == 403
        row.refresh_from_db()
        assert row.base_url == "https://before.example"


class TestTexts:
    @pytest.fixture
    def pages(self, acme: Account) -> list[str]:
        """Every page that has something of a message, and the address of each."""
        message = make_message(
            acme, State.FAILED, to=NUMBER, body=TEXT, metadata={"note": TEXT}, error_detail=f"no such number {NUMBER}"
        )
        make_attempt(message, code="odd", detail=f"no such number {NUMBER}")
        letter = make_letter(message, detail=f"no such number {NUMBER}")
        task = DeadLetter.objects.create(reason="unreadable", task=f"From={NUMBER}&Body={TEXT}")
        callback = a_callback(acme)
        Callback.objects.update(body=f'{{"to": "{NUMBER}", "body": "{TEXT}"}}', response_body=TEXT)
        inbound = make_inbound(make_connection(), acme, sender=NUMBER, body=TEXT)
        broadcast = a_broadcast(acme)
        Broadcast.objects.update(body=TEXT)
        suppression = make_suppression(acme, NUMBER)
        rows = [message, letter, task, callback, inbound, broadcast, suppression]
        found = []
        for row in rows:
            name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
            found += [reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])]
            found += [reverse(f"{name}_history", args=[row.pk])]
        return [*found, reverse("admin:dispatch_message_changelist") + "?q=%2B447700900123", reverse("admin:index")]

    @every_role
    def test_numbers_are_masked_for_everybody(self, pages: list[str], role: str) -> None:
        client = member(role)

        for url in pages:
            page = client.get(url)
            assert page.status_code == 200, url
            assert NUMBER not in page.text.replace(f'value="{NUMBER}"', ""), url  # what was typed stays in its box

    def test_texts_are_not_for_viewers(self, pages: list[str]) -> None:
        client = member("viewer")

        for url in pages:
            assert TEXT not in client.get(url).text, url

    def test_operators_read_them_where_they_belong(self, pages: list[str]) -> None:
        client = member("operator")

        assert sum(TEXT in client.get(url).text for url in pages) == 5  # message, task, callback, inbound, broadcast


class TestUsers:
    def test_an_admin_gives_roles(self) -> None:
        client = member("admin")
        other = User.objects.create_user("bob", is_staff=True)
        form = {
            "username": "bob",
            "is_active": "on",
            "is_staff": "on",
            "groups": [str(Group.objects.get(name="operator").pk)],
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
        }

        answer = client.post(reverse("admin:auth_user_change", args=[other.pk]), {**form, "is_superuser": "on"})

        assert answer.status_code == 302
        other.refresh_from_db()
        assert [group.name for group in other.groups.all()] == ["operator"]
        assert not other.is_superuser
        assert "Groups: empty → operator" in LogEntry.objects.get().get_change_message()

    def test_an_admin_does_not_touch_superusers(self) -> None:
        boss = User.objects.create_superuser("boss", password=None)
        client = member("admin")

        for name in ("auth_user_change", "auth_user_password_change"):
            answer = client.post(reverse(f"admin:{name}", args=[boss.pk]), {"username": "gone"})
            assert answer.status_code == 403

        assert User.objects.get(pk=boss.pk).username == "boss"

    def test_the_audit_is_edited_by_nobody(self, admin_client: Client) -> None:
        make_connection("line")
        act(admin_client, "dispatch_connection", "pause", Connection.objects.get(), reason="an outage")
        entry = LogEntry.objects.get()

        for what in ("change", "delete"):
            url = reverse(f"admin:admin_logentry_{what}", args=[entry.pk])
            assert admin_client.post(url, {"post": "yes"}).status_code == 403

        assert LogEntry.objects.get().change_message == "Paused: an outage"
