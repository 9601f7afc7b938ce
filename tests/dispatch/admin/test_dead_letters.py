"""Dead letters in the admin: what is shown, and what is done about them."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dispatch.admin import handling
from dispatch.models import DeadLetter, Message
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome, LetterState
from sendmsg.accounts.models import Account
from tests import factories
from tests.factories import make_attempt, make_connection, make_message

pytestmark = pytest.mark.django_db
LIST = "admin:dispatch_deadletter_changelist"


def page_of(letter: DeadLetter) -> str:
    return reverse("admin:dispatch_deadletter_change", args=[letter.id])


def make_letter(account: Account, reason: str = "unroutable", **fields: Any) -> DeadLetter:
    return factories.make_letter(make_message(account, State.FAILED, **fields), reason)


def act(client: Client, action: str, *letters: DeadLetter, **fields: Any) -> Any:
    """Choose in the list; with `newest`, confirm."""
    chosen = {"action": action, "_selected_action": [str(letter.id) for letter in letters], **fields}
    return client.post(reverse(LIST), chosen, follow=True)


def confirm(client: Client, action: str, *letters: DeadLetter, **fields: Any) -> Any:
    newest = act(client, action, *letters).context["newest"]
    return act(client, action, *letters, newest=newest, **fields)


def states() -> list[str]:
    return list(Message.objects.order_by("id").values_list("state", flat=True))


def found(client: Client, **query: Any) -> set[DeadLetter]:
    answer = client.get(reverse(LIST), query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


def test_a_letter_leads_to_its_message_and_masks_the_number(admin_client: Client, acme: Account) -> None:
    letter = make_letter(acme, to="+447700900123", body="Your code is 4711.")

    for url in (reverse(LIST), page_of(letter)):
        page = admin_client.get(url).text
        for text in (
            "unroutable",
            "sendmsg",
            "+4477****123",
            reverse("admin:dispatch_message_change", args=[letter.message_id]),
        ):
            assert text in page
        assert "7700900123" not in page
        assert "4711" not in page


def test_a_letter_without_a_message_shows_what_came(admin_client: Client) -> None:
    task = '[["0192f3a1-7c1e-7000-8000-000000900123", 1], {"msisdn": "447700900123", "to": "+447700900124"}] <b>'
    letter = DeadLetter.objects.create(queue="receipts", reason="malformed_webhook", task=task)

    page = admin_client.get(page_of(letter)).text

    for number in ("7700900123", "7700900124"):
        assert number not in page
    assert "0192f3a1-7c1e-7000-8000-000000900123" in page
    assert "&lt;b&gt;" in page
    assert admin_client.get(reverse(LIST)).status_code == 200


def test_letters_are_found_by_reason_and_by_message(admin_client: Client, acme: Account) -> None:
    letter, other = make_letter(acme, "unroutable"), make_letter(acme, "expired")

    assert found(admin_client) == {letter, other}
    assert found(admin_client, reason="expired") == {other}
    assert found(admin_client, q=str(letter.message_id)) == {letter}
    assert found(admin_client, q="unroutable") == set()
    page = admin_client.get(reverse(LIST)).text
    assert "?reason=expired" in page
    assert "?reason=unroutable" in page


@pytest.mark.parametrize("action", ["add", "change", "delete"])
def test_nobody_edits_a_letter(admin_client: Client, acme: Account, action: str) -> None:
    args = [] if action == "add" else [make_letter(acme).id]

    answer = admin_client.post(reverse(f"admin:dispatch_deadletter_{action}", args=args), {"post": "yes"})

    assert answer.status_code == 403


def test_a_list_takes_as_many_queries_for_many_as_for_one(admin_client: Client, acme: Account) -> None:
    make_letter(acme)
    admin_client.get(reverse(LIST))
    with CaptureQueriesContext(connection) as for_one:
        admin_client.get(reverse(LIST))
    for number in range(10):
        make_letter(acme, connection=make_connection(f"line-{number}"))

    with CaptureQueriesContext(connection) as for_many:
        admin_client.get(reverse(LIST))

    assert len(for_many) == len(for_one) <= 7


def test_letters_are_found_by_account_connection_mode_state_and_day(admin_client: Client, acme: Account) -> None:
    letter = make_letter(acme)
    globex = Account.objects.create(name="Globex")
    other = make_letter(globex, connection=make_connection("other", provider="vonage"), test=True)
    DeadLetter.objects.filter(id=other.id).update(state=LetterState.DISCARDED)

    assert found(admin_client, account="Acme") == {letter}
    assert found(admin_client, connection=other.connection_id) == {other}
    assert found(admin_client, provider="vonage") == {other}
    assert found(admin_client, mode="test") == {other}
    assert found(admin_client, state__exact="open") == {letter}
    assert found(admin_client, day="2020-01-01") == set()
    assert found(admin_client, account="nobody") == set()


def test_the_attempts_of_a_message_stand_beside_each_other(admin_client: Client, acme: Account) -> None:
    letter = make_letter(acme)
    assert letter.message is not None
    for number, code in ((1, "unavailable"), (2, "unroutable")):
        make_attempt(letter.message, number=number, outcome=AttemptOutcome.RETRY, code=code)

    rows = dict(admin_client.get(page_of(letter)).context["attempts"])

    assert rows["Number"] == ["1", "2"]
    assert rows["Connection"] == ["sendmsg", "sendmsg"]
    assert rows["Code"] == ["unavailable", "unroutable"]


class TestHandling:
    def test_nothing_happens_before_it_is_confirmed(self, admin_client: Client, acme: Account) -> None:
        letters = [make_letter(acme) for _ in range(2)]

        for action in ("replay", "replay_by", "discard"):
            page = act(admin_client, action, *letters)
            assert page.context["count"] == 2
            assert "<strong>2</strong> dead letters chosen" in page.text

        assert states() == ["failed", "failed"]
        assert set(DeadLetter.objects.values_list("state", flat=True)) == {"open"}

    def test_a_confirmed_replay_is_done_once_and_logged(
        self, admin_client: Client, admin_user: User, acme: Account
    ) -> None:
        letters = [make_letter(acme) for _ in range(3)]

        page = confirm(admin_client, "replay", *letters[:2], note="provider is back")

        assert "Replayed: 2." in page.text
        assert states() == ["queued", "queued", "failed"]
        letters[0].refresh_from_db()
        assert (letters[0].state, letters[0].handled_by, letters[0].note) == ("replayed", "admin", "provider is back")
        entries = LogEntry.objects.filter(user=admin_user)
        assert {entry.object_id for entry in entries} == {str(letter.id) for letter in letters[:2]}
        assert {entry.change_message for entry in entries} == {"Replayed: provider is back"}

        again = act(admin_client, "replay", *letters[:2], newest=letters[2].id)

        assert "Replayed: 0." in again.text
        assert "2 (handled before)" in again.text
        assert LogEntry.objects.count() == 2

    def test_a_replay_by_another_connection(self, admin_client: Client, acme: Account) -> None:
        other = make_connection("other")
        make_connection("off", enabled=False)
        letter = make_letter(acme)

        page = act(admin_client, "replay_by", letter)
        assert ">other (sendmsg)<" in page.text
        assert ">off (" not in page.text
        page = confirm(admin_client, "replay_by", letter, connection="other")

        assert "Replayed by other: 1." in page.text
        assert Message.objects.get().chosen_connection == other

    def test_a_connection_has_to_be_one_that_is_offered(self, admin_client: Client, acme: Account) -> None:
        letter = make_letter(acme)

        for fields in ({}, {"connection": "nowhere"}):
            page = confirm(admin_client, "replay_by", letter, **fields)
            assert page.context["form"].errors["connection"]

        assert states() == ["failed"]

    def test_a_replay_by_the_connection_that_each_went_by(self, admin_client: Client, acme: Account) -> None:
        letters = [make_letter(acme), make_letter(acme, connection=make_connection("other"))]

        page = confirm(admin_client, "replay_by", *letters, connection=handling.SAME)

        assert "Replayed by the same connection: 2." in page.text
        chosen = Message.objects.order_by("id").values_list("chosen_connection__name", flat=True)
        assert list(chosen) == ["sendmsg", "other"]

    @pytest.mark.parametrize("action", ["replay", "replay_by"])
    def test_what_may_have_been_sent_needs_a_tick(self, admin_client: Client, acme: Account, action: str) -> None:
        letters = [make_letter(acme), make_letter(acme, in_doubt=True)]
        make_letter(acme, in_doubt=True)
        fields = {"connection": "sendmsg"} if action == "replay_by" else {}

        page = act(admin_client, action, *letters)
        assert page.context["in_doubt"] == 1
        assert "Also the 1 that may have been sent: they may arrive twice" in page.text
        page = confirm(admin_client, action, *letters, **fields)
        assert "Left alone: 1 (may have been sent by an earlier try)." in page.text
        assert states() == ["queued", "failed", "failed"]
        page = confirm(admin_client, action, letters[1], even_if_sent="on", **fields)

        assert states() == ["queued", "queued", "failed"]

    def test_nothing_to_tick_where_nothing_may_have_been_sent(self, admin_client: Client, acme: Account) -> None:
        letters = [make_letter(acme), make_letter(acme, in_doubt=True)]

        for action, chosen in (("replay", letters[:1]), ("discard", letters)):
            page = act(admin_client, action, *chosen)
            assert "even_if_sent" not in page.text
            assert 'id="in-doubt"' not in page.text

    def test_one_that_a_receipt_resolved_is_shown_and_offers_nothing(self, admin_client: Client, acme: Account) -> None:
        letter = make_letter(acme)
        DeadLetter.objects.update(state=LetterState.RESOLVED, handled_by="receipt")

        assert found(admin_client, state__exact="resolved") == {letter}
        page = admin_client.get(page_of(letter))
        assert "state-resolved" in page.text
        assert not page.context.get("handling")

    def test_a_discard_needs_a_reason(self, admin_client: Client, acme: Account) -> None:
        letter = make_letter(acme)

        assert confirm(admin_client, "discard", letter).context["form"].errors["note"]
        page = confirm(admin_client, "discard", letter, note="spam")

        assert "Discarded: 1." in page.text
        letter.refresh_from_db()
        assert (letter.state, letter.note) == (LetterState.DISCARDED, "spam")

    def test_all_that_match_are_those_that_were_counted(self, admin_client: Client, acme: Account) -> None:
        letters = [make_letter(acme, "expired") for _ in range(3)]
        make_letter(acme, "unroutable")
        url = reverse(LIST) + "?reason=expired"
        chosen = {"action": "replay", "_selected_action": str(letters[0].id), "select_across": "1"}

        page = admin_client.post(url, chosen)
        assert page.context["count"] == 3
        late = make_letter(acme, "expired")
        admin_client.post(url, {**chosen, "newest": page.context["newest"]})

        assert set(DeadLetter.objects.filter(state="replayed")) == set(letters)
        late.refresh_from_db()
        assert late.state == LetterState.OPEN

    def test_too_many_are_refused(self, admin_client: Client, acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(handling, "MAX_AT_ONCE", 1)
        letters = [make_letter(acme) for _ in range(2)]

        page = act(admin_client, "replay", *letters)

        assert "More than 1 at once" in page.text
        assert states() == ["failed", "failed"]

    def test_the_page_of_a_letter_offers_what_can_be_done(self, admin_client: Client, acme: Account) -> None:
        letter = make_letter(acme)
        task = DeadLetter.objects.create(queue="deliver.sendmsg", reason="task_rejected")

        def offered(one: DeadLetter) -> list[str]:
            return [name for name, _ in admin_client.get(page_of(one)).context.get("handling") or []]

        assert offered(letter) == ["replay", "replay_by", "discard"]
        assert offered(task) == ["discard"]
        confirm(admin_client, "discard", letter, note="spam")
        assert offered(letter) == []

    def test_who_may_only_look_is_offered_nothing(self, client: Client, acme: Account) -> None:
        looker = User.objects.create_user("looker", is_staff=True)
        looker.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
        client.force_login(looker)
        letter = make_letter(acme)

        assert not client.get(page_of(letter)).context["handling"]
        act(client, "replay", letter)
        act(client, "replay", letter, newest=letter.id)

        assert states() == ["failed"]
