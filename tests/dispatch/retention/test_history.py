"""All that is known of a message comes back, wherever it is by now: by command and in the admin."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from dispatch.models import Message
from dispatch.retention import history, messages
from dispatch.states import State
from sendmsg.accounts.models import Account
from sendmsg.logs.archive import keys, timeline
from sendmsg.logs.archive.leaving import Leaving
from sendmsg.logs.models import ArchiveFile
from tests.archiving import OLD, make_old_message, old_id, run_once
from tests.factories import make_message
from tests.logs.lines import line, write

pytestmark = [
    pytest.mark.django_db(databases=["default", "logs"], transaction=True),
    pytest.mark.usefixtures("old_days"),
]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def happened(message: Message, *events: tuple[str, timedelta]) -> None:
    write(
        [
            line(at=message.created_at + after, message=message.id, account=str(message.account_id), type=kind)
            for kind, after in events
        ]
    )


def archive_days(before: datetime) -> None:
    run_once(lambda: timeline.step(Leaving(before, timedelta()), lambda: False))


def archive_messages() -> None:
    run_once(lambda: messages.step(NOW, lambda: False))


def archive_command(*arguments: str) -> str:
    output = io.StringIO()
    call_command("archive", *arguments, stdout=output)
    return output.getvalue()


def archived_page(message: Message) -> str:
    return reverse("admin:dispatch_message_archived", args=[message.id])


@pytest.fixture(params=["ndjson", "parquet"])
def gone(archive: Path, acme: Account, settings: Settings, request: pytest.FixtureRequest) -> Message:
    """A message that left, whose timeline did too; others beside it."""
    settings.ARCHIVE_FORMAT = request.param
    message = make_old_message(acme, body="Hello <b>Ann</b>", to="+447700900123")
    make_old_message(acme)
    happened(message, ("accepted", timedelta()), ("sent", timedelta(days=1)), ("delivered", timedelta(days=2)))
    archive_days(OLD + timedelta(days=300))
    archive_messages()
    assert not Message.objects.exists()
    return message


def test_a_message_that_left_comes_back_whole(gone: Message) -> None:
    found = json.loads(archive_command("fetch", str(gone.id)))

    assert (found["message"]["to"], found["message"]["body"]) == ("+447700900123", "Hello <b>Ann</b>")
    assert [event["type"] for event in found["events"]] == ["accepted", "sent", "delivered"]
    assert found["erased"] is False


def test_a_timeline_is_joined_of_both_places(archive: Path, acme: Account) -> None:
    message = make_old_message(acme, state=State.QUEUED, expires_at=NOW)
    happened(message, ("accepted", timedelta()), ("sent", timedelta(days=5)))
    archive_days(OLD + timedelta(days=2))

    found = history.fetch(message.id)

    assert [event["type"] for event in found.events] == ["accepted", "sent"]
    assert found.message is None


def test_only_files_that_may_have_it_are_read(gone: Message, acme: Account) -> None:
    make_old_message(acme, at=OLD + timedelta(days=10))
    archive_messages()

    assert ArchiveFile.objects.filter(kind="messages").count() == 2
    assert history.candidates(ArchiveFile.Kind.MESSAGES, gone.id).count() == 1


def test_what_nobody_knows_of_is_said(archive: Path) -> None:
    with pytest.raises(CommandError, match="Nothing is known"):
        archive_command("fetch", str(uuid4()))
    with pytest.raises(CommandError, match="expected the id"):
        archive_command("fetch", "17")


def test_without_an_archive_it_says_what_to_set() -> None:
    with pytest.raises(CommandError, match="set ARCHIVE_URL"):
        archive_command("fetch", str(uuid4()))


def test_files_are_listed_a_line_each(gone: Message, acme: Account) -> None:
    lines = [text.split("\t") for text in archive_command("list", "--account", "Acme").splitlines()]

    assert [(day, kind, rows) for day, kind, _, _, rows, *_ in lines] == [
        ("2020-01-05", "events", "1"),
        ("2020-01-05", "messages", "2"),
        ("2020-01-06", "events", "1"),
        ("2020-01-07", "events", "1"),
    ]
    assert archive_command("list", "--since", "2020-01-06", "--until", "2020-01-07").count("\n") == 1
    with pytest.raises(CommandError, match='no account "Nobody"'):
        archive_command("list", "--account", "Nobody")


def test_files_are_verified(gone: Message, archive: Path) -> None:
    assert "4 files are as they were written, 0 are not" in archive_command("verify")
    victim = ArchiveFile.objects.all()[0]
    (archive / victim.name).unlink()

    output = io.StringIO()
    with pytest.raises(CommandError, match="from a copy"):
        call_command("archive", "verify", stdout=output)

    assert f"damaged\t{victim.name}" in output.getvalue()


def test_who_looks_for_a_message_that_left_is_led_to_it(gone: Message, admin_client: Client) -> None:
    answer = admin_client.get(reverse("admin:dispatch_message_change", args=[gone.id]))

    assert answer.status_code == 302
    assert answer["Location"] == archived_page(gone)
    page = admin_client.get(archived_page(gone)).text
    assert "Hello &lt;b&gt;Ann&lt;/b&gt;" in page
    assert "+4477****123" in page
    assert "7700900123" not in page
    assert "state-delivered" in page


def test_a_message_whose_timeline_is_older_than_the_database_has_a_link(
    archive: Path, acme: Account, admin_client: Client
) -> None:
    old = make_old_message(acme, state=State.QUEUED, expires_at=NOW)
    happened(old, ("accepted", timedelta()))
    archive_days(OLD + timedelta(days=2))
    young = make_message(acme)

    pages = [admin_client.get(reverse("admin:dispatch_message_change", args=[one.id])).text for one in (old, young)]

    assert [archived_page(one) in page for one, page in zip((old, young), pages, strict=True)] == [True, False]
    assert "state-accepted" in admin_client.get(archived_page(old)).text


def test_the_page_of_an_erased_recipient_says_so(gone: Message, admin_client: Client) -> None:
    keys.destroy("+447700900123")

    page = admin_client.get(archived_page(gone)).text

    assert "recipient was erased" in page
    assert "Ann" not in page


def test_a_damaged_file_is_said(gone: Message, archive: Path, admin_client: Client) -> None:
    for path in [*archive.rglob("*.gz"), *archive.rglob("*.parquet")]:
        path.write_bytes(b"nothing of the kind")

    page = admin_client.get(archived_page(gone))

    assert page.status_code == 200
    assert "ArchiveDamaged" in page.text


def test_who_may_not_read_texts_sees_all_but_the_text(gone: Message, client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_message"))
    client.force_login(viewer)

    page = client.get(archived_page(gone)).text

    assert "+4477****123" in page
    assert "Ann" not in page


def test_who_may_not_see_messages_does_not_see_archived_ones(gone: Message, client: Client) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))

    assert client.get(archived_page(gone)).status_code == 403


@pytest.mark.parametrize("message_id", [old_id(), UUID(int=0), UUID(int=2**128 - 1)])
def test_what_nobody_knows_of_is_not_found(archive: Path, admin_client: Client, message_id: UUID) -> None:
    assert admin_client.get(reverse("admin:dispatch_message_archived", args=[message_id])).status_code == 404
    answer = admin_client.get(reverse("admin:dispatch_message_change", args=[message_id]))
    assert answer["Location"] == reverse("admin:index")


def test_a_shortened_text_says_so_on_its_page(acme: Account, admin_client: Client) -> None:
    message = make_message(acme, State.DELIVERED, body="x" * 160, body_length=280, updated_at=timezone.now())

    page = admin_client.get(reverse("admin:dispatch_message_change", args=[message.id])).text

    assert "of 280 characters; the rest is not kept" in page
