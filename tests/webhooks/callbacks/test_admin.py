"""Endpoints and callbacks in the admin: what failed is found and sent again, and no secret is on any page."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from sendmsg.accounts.models import Account
from tests.faults import FaultServer, answer
from tests.webhooks.callbacks.driving import deliver, make_endpoint, pass_time, sent_message, work_off
from webhooks.callbacks import endpoints
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.vocabulary import DisabledReason

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
URL = "https://client.example/hook"


def listed(client: Client, model: type[Model], **query: Any) -> set[Any]:
    shown = client.get(reverse(f"admin:webhooks_{model._meta.model_name}_changelist"), query)
    assert shown.status_code == 200
    return set(shown.context["cl"].result_list)


def page(client: Client, row: Model) -> str:
    return client.get(reverse(f"admin:webhooks_{row._meta.model_name}_change", args=[row.pk])).text


def act(client: Client, action: str, *rows: Model) -> str:
    """Do it to these rows; what the next page says."""
    [model] = {type(row) for row in rows}
    data = {"action": action, ACTION_CHECKBOX_NAME: [str(row.pk) for row in rows]}
    return client.post(reverse(f"admin:webhooks_{model._meta.model_name}_changelist"), data, follow=True).text


def make_callback(endpoint: Endpoint, **fields: Any) -> Callback:
    now = timezone.now()
    defaults = {"event_id": uuid4(), "type": "message.sent", "body": "{}", "happened_at": now, "due_at": now}
    return Callback.objects.create(endpoint=endpoint, **{**defaults, **fields})


def test_an_endpoint_shows_how_it_does_and_never_its_secret(admin_client: Client, acme: Account) -> None:
    endpoint = make_endpoint(acme, URL, "message.*")
    Endpoint.objects.update(failures=7, failing_since=timezone.now())
    old = endpoint.secret
    endpoints.rotate(endpoint, timezone.now())

    shown = page(admin_client, endpoint)

    for text in (URL, "message.*", "state-enabled", "7"):
        assert text in shown
    listing = admin_client.get(reverse("admin:webhooks_endpoint_changelist")).text
    for text in (endpoint.secret, old, "whsec_"):
        assert text not in shown + listing


def test_endpoints_are_found_by_state_mode_account_and_url(admin_client: Client, acme: Account) -> None:
    live, test = make_endpoint(acme, URL), make_endpoint(acme, "https://other.example/", test=True)
    gone = make_endpoint(acme, URL)
    endpoints.delete(gone)
    endpoints.disable(test, DisabledReason.GONE)

    assert listed(admin_client, Endpoint) == {live, test}
    assert listed(admin_client, Endpoint, mode="test") == {test}
    assert listed(admin_client, Endpoint, state__exact="disabled") == {test}
    assert listed(admin_client, Endpoint, disabled_reason__exact="gone") == {test}
    assert listed(admin_client, Endpoint, account="Acme") == {live, test}
    assert listed(admin_client, Endpoint, q=URL) == {live}
    assert listed(admin_client, Endpoint, q=str(test.id)) == {test}


def test_an_operator_disables_and_enables_and_leaves_a_trace(admin_client: Client, acme: Account) -> None:
    endpoint = make_endpoint(acme, URL)

    assert "Disabled: 1." in act(admin_client, "disable", endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.disabled_reason) == ("disabled", "operator")
    assert "Enabled: 1." in act(admin_client, "enable", endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.disabled_reason) == ("enabled", "")
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("id")] == ["Disabled.", "Enabled."]


def test_failures_are_found_and_sent_again(admin_client: Client, acme: Account, receiver: FaultServer) -> None:
    receiver.play(answer(410))
    endpoint = make_endpoint(acme, receiver.url)
    message = sent_message(acme)
    deliver(message)
    work_off()
    [failed] = listed(admin_client, Callback, state__exact="failed")
    make_callback(endpoint, state="delivered")

    assert listed(admin_client, Callback, q=str(message.id)) == {failed}
    assert "Sent again: 0." in act(admin_client, "replay", failed)
    act(admin_client, "enable", endpoint)
    assert "Sent again: 1." in act(admin_client, "replay", failed)
    receiver.play(answer(200))
    pass_time()
    work_off()

    failed.refresh_from_db()
    assert failed.state == "delivered"
    assert len(receiver.requests) == 2


def test_all_that_failed_at_an_endpoint_lately_is_sent_again(admin_client: Client, acme: Account) -> None:
    endpoint = make_endpoint(acme, URL)
    failed = [make_callback(endpoint, state="failed") for _ in range(3)]
    make_callback(endpoint, state="delivered")

    assert "Sent again: 3." in act(admin_client, "replay_failed", endpoint)

    assert set(Callback.objects.filter(state="waiting")) == set(failed)


def test_a_callback_shows_its_payload_and_the_answer_with_numbers_masked(admin_client: Client, acme: Account) -> None:
    endpoint = make_endpoint(acme, URL)
    callback = make_callback(
        endpoint, body='{"data":{"to":"+447700900123"}}', response_body="<b>no +447700900123</b>", response_status=500
    )

    shown = page(admin_client, callback)

    assert "447700900123" not in shown
    assert "&lt;b&gt;no +44" in shown
    assert f"evt_{callback.event_id.hex}" in shown


def test_callbacks_are_found_by_account_and_age(admin_client: Client, acme: Account) -> None:
    callback = make_callback(make_endpoint(acme, URL))
    other = make_callback(make_endpoint(Account.objects.create(name="Globex"), URL))

    assert listed(admin_client, Callback, account="Acme") == {callback}
    assert listed(admin_client, Callback, age="hour") == {callback, other}
    assert listed(admin_client, Callback, day=f"{timezone.now() - timedelta(days=2):%Y-%m-%d}") == set()
    assert listed(admin_client, Callback, q=str(other.endpoint_id)) == {other}


def test_who_may_only_look_is_offered_nothing(client: Client, acme: Account, django_user_model: Any) -> None:
    from django.contrib.auth.models import Permission

    viewer = django_user_model.objects.create_user("eve", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__in=["view_endpoint", "view_callback"]))
    client.force_login(viewer)
    endpoint = make_endpoint(acme, URL)

    act(client, "disable", endpoint)

    endpoint.refresh_from_db()
    assert endpoint.state == "enabled"
