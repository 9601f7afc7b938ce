"""Pausing, resuming and weighing connections in the admin: who may, and what is written down of it."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from dispatch import history
from dispatch.models import Connection, ConnectionEvent
from tests.factories import make_connection

pytestmark = pytest.mark.django_db
LIST = "admin:dispatch_connection_changelist"


def page_of(row: Connection) -> str:
    return reverse("admin:dispatch_connection_change", args=[row.id])


def act(client: Client, action: str, *rows: Connection, **fields: str) -> Any:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows], **fields}
    return client.post(reverse(LIST), chosen, follow=True)


def test_a_pause_asks_why_and_is_in_both_histories(admin_client: Client) -> None:
    rows = [make_connection(f"line-{number}") for number in range(2)]

    page = act(admin_client, "pause", *rows)
    assert "line-0 (sendmsg)" in page.text
    assert not Connection.objects.filter(paused_at__isnull=False).exists()
    assert act(admin_client, "pause", *rows, reason="").context["form"].errors
    page = act(admin_client, "pause", *rows, reason="they have an outage")

    assert "Paused: line-0, line-1." in page.text
    assert set(Connection.objects.values_list("pause_reason", flat=True)) == {"they have an outage"}
    events = ConnectionEvent.objects.values_list("change", "by", "reason")
    assert set(events) == {("paused", "admin", "they have an outage")}
    assert {entry.change_message for entry in LogEntry.objects.all()} == {"Paused: they have an outage"}


def test_a_resume_is_at_once(admin_client: Client) -> None:
    row = make_connection("line")
    history.pause(row, "eve", "holidays")

    assert "Resumed: line." in act(admin_client, "resume", row).text
    assert "Resumed: none." in act(admin_client, "resume", row).text

    row.refresh_from_db()
    assert row.paused_at is None
    assert list(ConnectionEvent.objects.values_list("change", "by")) == [("resumed", "admin"), ("paused", "eve")]


def test_a_weight_is_asked_for_and_is_in_both_histories(admin_client: Client) -> None:
    row = make_connection("line", weight=100)

    assert "weight 100" in act(admin_client, "weigh", row).text
    assert act(admin_client, "weigh", row, weight="-1").context["form"].errors
    assert act(admin_client, "weigh", row, weight="32768").context["form"].errors
    assert "Weighed: line." in act(admin_client, "weigh", row, weight="30").text

    row.refresh_from_db()
    assert row.weight == 30
    assert list(ConnectionEvent.objects.values_list("change", "by", "reason")) == [("weighed", "admin", "100 to 30")]
    assert LogEntry.objects.get().change_message == "Weight: 100 → 30."


def test_its_page_offers_what_is_of_use(admin_client: Client) -> None:
    row = make_connection("line")

    def offered() -> list[str]:
        return [name for name, _ in admin_client.get(page_of(row)).context["switches"]]

    assert offered() == ["pause", "weigh"]
    history.pause(row, "eve", "holidays")
    assert offered() == ["resume", "weigh"]


def test_many_can_not_be_deleted(admin_client: Client) -> None:
    act(admin_client, "delete_selected", make_connection("line"), post="yes")

    assert Connection.objects.exists()


def test_who_may_only_look_switches_nothing(client: Client) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_connection"))
    client.force_login(looker)
    row = make_connection("line")

    act(client, "pause", row, reason="why not")
    assert not client.get(page_of(row)).context["switches"]

    assert not ConnectionEvent.objects.exists()
