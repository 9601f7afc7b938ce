"""Broadcasts in the admin: what is shown, what can be done with them, and new ones from an uploaded list."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dispatch.admin import broadcast_upload
from dispatch.models import Broadcast, BroadcastDraft, Message
from dispatch.states import State
from dispatch.vocabulary import BroadcastState
from sendmsg.accounts.models import Account
from tests.factories import make_message

pytestmark = pytest.mark.django_db
LIST = "admin:dispatch_broadcast_changelist"
UPLOAD = "admin:dispatch_broadcast_upload"
TABLE = """to,name,shop
+447700900523,Ada,Oslo
+44 7700 900523,Ada,Oslo
x,Bob,Oslo
+447700900124,,Oslo
+447700900125,Eve,Rome
"""


def make_broadcast(account: Account, state: str = BroadcastState.RUNNING, **fields: Any) -> Broadcast:
    now = timezone.now()
    times = {"created_at": now, "expires_at": now + timedelta(hours=1)}
    defaults = {"channel": "sms", "body": "hello", "recipients": 4, **times}
    return Broadcast.objects.create(account=account, state=state, **{**defaults, **fields})


def page_of(broadcast: Broadcast) -> str:
    return reverse("admin:dispatch_broadcast_change", args=[broadcast.id])


def act(client: Client, action: str, *chosen: Broadcast, **fields: Any) -> Any:
    data = {"action": action, "_selected_action": [str(one.id) for one in chosen], **fields}
    return client.post(reverse(LIST), data, follow=True)


def upload(client: Client, account: Account, content: str | bytes = TABLE, **fields: Any) -> Any:
    given = {
        "account": account.pk,
        "mode": "live",
        "channel": "sms",
        "priority": "bulk",
        "body": "Hi {{name}}!",
        "list": SimpleUploadedFile("list.csv", content if isinstance(content, bytes) else content.encode()),
    }
    return client.post(reverse(UPLOAD), {**given, **fields}, follow=True)


def permit(user: User, *names: str) -> None:
    user.user_permissions.set(Permission.objects.filter(codename__in=names))


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada", is_staff=True))
    return client


class TestLooking:
    def test_a_page_counts_the_messages_by_state_and_reads_itself_again(
        self, admin_client: Client, acme: Account
    ) -> None:
        broadcast = make_broadcast(
            acme, rejections=[{"line": 7, "field": "to", "code": "number_invalid", "detail": "No."}]
        )
        for state in (State.QUEUED, State.DELIVERED, State.DELIVERED, State.FAILED):
            make_message(acme, state, broadcast=broadcast, to="+447700900523")

        page = admin_client.get(page_of(broadcast)).text

        for text in ("50.0 %", "state-delivered", "line 7: to number_invalid", 'http-equiv="refresh"'):
            assert text in page
        assert "7700900523" not in page
        assert admin_client.get(reverse(LIST)).status_code == 200

    def test_a_page_leads_to_its_messages(self, admin_client: Client, acme: Account) -> None:
        broadcast = make_broadcast(acme)
        message = make_message(acme, broadcast=broadcast)
        make_message(acme)

        url = f"{reverse('admin:dispatch_message_changelist')}?broadcast={broadcast.id}"
        assert url in admin_client.get(page_of(broadcast)).text
        assert list(admin_client.get(url).context["cl"].result_list) == [message]

    @pytest.mark.parametrize("state", ["finished", "canceled"])
    def test_a_page_of_one_that_is_over_rests_and_offers_nothing(
        self, admin_client: Client, acme: Account, state: str
    ) -> None:
        page = admin_client.get(page_of(make_broadcast(acme, state))).text

        assert "http-equiv" not in page
        assert 'class="handling"' not in page

    @pytest.mark.parametrize("action", ["add", "change", "delete"])
    def test_nobody_edits_one(self, admin_client: Client, acme: Account, action: str) -> None:
        args = [] if action == "add" else [make_broadcast(acme).id]

        assert admin_client.post(reverse(f"admin:dispatch_broadcast_{action}", args=args), {}).status_code == 403


class TestHandling:
    def test_chosen_ones_are_paused_and_resumed_with_a_line_in_the_log(
        self, admin_client: Client, acme: Account
    ) -> None:
        one, over = make_broadcast(acme), make_broadcast(acme, BroadcastState.FINISHED)

        page = act(admin_client, "pause", one, over).text
        one.refresh_from_db()
        assert one.state == BroadcastState.PAUSED
        assert "Paused: 1." in page
        assert "Left alone: 1" in page

        act(admin_client, "resume", one)
        one.refresh_from_db()
        assert one.state == BroadcastState.RUNNING
        assert [entry.object_id for entry in LogEntry.objects.all()] == [str(one.id)] * 2

    def test_canceling_asks_first(self, admin_client: Client, acme: Account) -> None:
        broadcast = make_broadcast(acme, name="Closing time")

        assert "Closing time" in act(admin_client, "cancel", broadcast).text
        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.RUNNING

        act(admin_client, "cancel", broadcast, confirmed="yes")
        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.CANCELING

    def test_whoever_may_only_look_is_offered_nothing(self, staff: Client, acme: Account) -> None:
        permit(User.objects.get(), "view_broadcast")
        broadcast = make_broadcast(acme)

        page = staff.get(page_of(broadcast)).text
        act(staff, "pause", broadcast)

        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.RUNNING
        assert 'class="handling"' not in page
        assert staff.get(reverse(UPLOAD)).status_code == 403
        assert reverse(UPLOAD) not in staff.get(reverse(LIST)).text


class TestUploading:
    def test_the_preview_says_what_would_become_of_it_and_nothing_is_sent(
        self, admin_client: Client, acme: Account
    ) -> None:
        page = upload(admin_client, acme).text

        for text in (
            "<strong>2</strong> messages of\n  <strong>2</strong> segments",
            "1\n  duplicate, 2 that can't be accepted",
            "Columns: to, name, shop. Not used by the text: shop.",
            "Hi Ada!",
            "+4477****523",
            "number_invalid: 1",
            "value_missing: 1",
        ):
            assert text in page.replace("&#x27;", "'")
        assert "7700900523" not in page
        assert not Broadcast.objects.exists()
        assert not Message.objects.exists()

    def test_what_is_confirmed_is_sent_once(self, admin_client: Client, acme: Account) -> None:
        url = upload(admin_client, acme, name="Closing", sender="AcmeShop", mode="test").redirect_chain[-1][0]

        page = admin_client.post(url, {"send": "yes"}, follow=True).text
        again = admin_client.post(url, {"send": "yes"}, follow=True).text

        broadcast = Broadcast.objects.get()
        assert "2 messages are on their way" in page
        assert "That list is gone" in again
        assert (broadcast.name, broadcast.sender, broadcast.test, broadcast.priority) == (
            "Closing",
            "AcmeShop",
            True,
            2,
        )
        assert list(Message.objects.order_by("id").values_list("to", "body", "test")) == [
            ("+447700900523", "Hi Ada!", True),
            ("+447700900125", "Hi Eve!", True),
        ]
        assert not BroadcastDraft.objects.exists()
        assert LogEntry.objects.get().object_id == str(broadcast.id)

    def test_a_list_that_is_dropped_is_gone(self, admin_client: Client, acme: Account) -> None:
        url = upload(admin_client, acme).redirect_chain[-1][0]

        admin_client.post(url, {"drop": "yes"})

        assert not BroadcastDraft.objects.exists()
        assert not Broadcast.objects.exists()

    def test_anothers_list_is_not_there(self, admin_client: Client, acme: Account, client: Client) -> None:
        url = upload(admin_client, acme).redirect_chain[-1][0]
        other = User.objects.create_superuser("eve")
        client.force_login(other)

        assert "That list is gone" in client.get(url, follow=True).text
        client.post(url, {"send": "yes"})
        assert not Broadcast.objects.exists()

    def test_a_list_that_nobody_confirmed_is_deleted_the_day_after(self, admin_client: Client, acme: Account) -> None:
        upload(admin_client, acme)
        BroadcastDraft.objects.update(created_at=timezone.now() - timedelta(days=2))

        upload(admin_client, acme)

        assert BroadcastDraft.objects.count() == 1

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"body": "Hi {{first name}}"}, "body"),
            ({"body": "x" * 1600}, "body"),
            ({"sender": "!"}, "sender"),
            ({"send_at": "tomorrow"}, "send_at"),
            ({"valid_for": "0"}, "valid_for"),
            ({"content": "number\n+447700900523\n"}, "list"),
            ({"content": b"to\n\xff\n"}, "list"),
            ({"content": b""}, "list"),
        ],
    )
    def test_what_can_not_be_sent_is_said_at_its_field(
        self, admin_client: Client, acme: Account, fields: dict[str, Any], field: str
    ) -> None:
        answer = upload(admin_client, acme, **fields)

        assert list(answer.context["form"].errors) == [field]
        assert not BroadcastDraft.objects.exists()

    def test_a_file_over_the_cap_is_refused(
        self, admin_client: Client, acme: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broadcast_upload, "MAX_FILE", 20)

        assert list(upload(admin_client, acme).context["form"].errors) == ["list"]

    def test_lines_of_a_browsers_form_end_in_one_character(self, admin_client: Client, acme: Account) -> None:
        upload(admin_client, acme, body="Hi {{name}}\r\nBye")

        assert BroadcastDraft.objects.get().fields["body"] == "Hi {{name}}\nBye"

    def test_a_list_without_anybody_good_offers_no_sending(self, admin_client: Client, acme: Account) -> None:
        answer = upload(admin_client, acme, content="to,name\nx,Ada\n")

        assert 'name="send"' not in answer.text
        page = admin_client.post(answer.redirect_chain[-1][0], {"send": "yes"}, follow=True).text
        assert "Nothing was sent." in page
        assert not Broadcast.objects.exists()

    def test_one_whose_time_has_passed_since_is_not_sent(self, admin_client: Client, acme: Account) -> None:
        url = upload(admin_client, acme).redirect_chain[-1][0]
        draft = BroadcastDraft.objects.get()
        draft.fields["send_at"] = "2020-01-01T00:00:00Z"
        draft.save()

        assert "This time has passed." in admin_client.post(url, {"send": "yes"}, follow=True).text
        assert not Broadcast.objects.exists()
