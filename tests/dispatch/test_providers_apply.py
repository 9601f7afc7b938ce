"""`manage.py providers apply`: connections and routes become what a file says, or nothing does."""

from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connection as database

from dispatch.models import Connection, ConnectionEvent, Route, RouteStep
from dispatch.vocabulary import ConnectionChange
from tests.cast import Member
from tests.dispatch.commands import providers as run
from tests.factories import make_connection, make_route
from tests.parallel import in_threads

pytestmark = pytest.mark.django_db

SECRET = "very-secret"
CONNECTIONS = """
connections:
  line:
    provider: sendmsg
    base_url: https://sms.example
    region: eu
    rate: 30
    credentials: {api_key: very-secret, webhook_secrets: [also-secret]}
  twilio:
    provider: twilio
    base_url: https://api.twilio.example
    credentials: {account_sid: AC1, auth_token: very-secret}
"""
ROUTES = """
routes:
  - name: UK
    destinations: [GB]
    steps: [{connection: twilio, weight: 70}, {connection: line, position: 2}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "providers.yaml"
    path.write_text(CONNECTIONS + ROUTES)
    return path


def apply(file: Path, text: str | None = None, *flags: str) -> list[str]:
    if text is not None:
        file.write_text(text)
    output = run("apply", str(file), *flags)
    assert SECRET not in output
    return output.splitlines()


class TestApply:
    def test_connections_and_routes_become_what_the_file_says(self, file: Path) -> None:
        assert apply(file) == [
            "+ connection line",
            "    provider: sendmsg",
            "    base_url: https://sms.example",
            "    region: eu",
            "    rate: 30.0",
            "    credentials.api_key: added",
            "    credentials.webhook_secrets: added",
            "+ connection twilio",
            "    provider: twilio",
            "    base_url: https://api.twilio.example",
            "    credentials.account_sid: added",
            "    credentials.auth_token: added",
            "+ route UK",
            "    position: 10",
            "    enabled: true",
            "    destinations: GB",
            "    steps: 1 twilio x70, 2 line x100",
        ]

        line = Connection.objects.get(name="line")
        assert (line.region, line.rate, line.enabled) == ("eu", 30, True)
        assert line.credentials == {"api_key": SECRET, "webhook_secrets": ["also-secret"]}
        steps = RouteStep.objects.filter(route__name="UK").values_list("position", "connection__name", "weight")
        assert list(steps) == [(1, "twilio", 70), (2, "line", 100)]

    def test_the_same_file_again_changes_nothing(self, file: Path) -> None:
        apply(file)
        before = list(Connection.objects.values_list("updated_at", flat=True))

        assert apply(file) == ["nothing to change"]
        assert list(Connection.objects.values_list("updated_at", flat=True)) == before

    def test_only_differences_are_told_and_made(self, file: Path) -> None:
        apply(file)
        kept, gone = RouteStep.objects.order_by("position")

        lines = apply(
            file,
            CONNECTIONS.replace("rate: 30", "weight: 5").replace("auth_token: very-secret", "auth_token: other")
            + "routes: [{name: UK, position: 10, channel: sms, steps: [{connection: twilio, position: 3}]}]",
        )

        assert lines == [
            "~ connection line",
            "    weight: 100 -> 5",
            "    rate: 30.0 -> -",
            "~ connection twilio",
            "    credentials.auth_token: changed",
            "~ route UK",
            "    channel: - -> sms",
            "    destinations: GB -> -",
            "    steps: 1 twilio x70, 2 line x100 -> 3 twilio x100",
        ]
        assert RouteStep.objects.get().id == kept.id
        assert not RouteStep.objects.filter(id=gone.id).exists()
        assert Connection.objects.get(name="twilio").credentials == {"account_sid": "AC1", "auth_token": "other"}
        event = ConnectionEvent.objects.get()
        assert (event.change, event.reason) == (ConnectionChange.WEIGHED, "100 to 5")
        assert event.by.startswith("cli:")

    def test_a_dry_run_tells_the_same_and_changes_nothing(self, file: Path) -> None:
        lines = apply(file, None, "--dry-run")

        assert not Connection.objects.exists()
        assert not Route.objects.exists()
        assert [*apply(file), "dry run: nothing was changed"] == lines

    def test_what_operators_set_while_it_runs_stays(self, file: Path) -> None:
        apply(file)
        run("pause", "line", "--reason", "they have an outage")
        run("weigh", "line", "7")

        assert apply(file) == ["nothing to change"]
        assert apply(file, CONNECTIONS.replace("rate: 30", "rate: 20"))[0] == "~ connection line"

        line = Connection.objects.get(name="line")
        assert line.paused_at is not None
        assert (line.pause_reason, line.weight) == ("they have an outage", 7)

    def test_credentials_that_the_file_does_not_name_stay(self, file: Path) -> None:
        apply(file)

        lines = apply(file, "connections: {line: {provider: sendmsg, base_url: https://sms.example, region: eu}}")

        assert lines == ["~ connection line", "    rate: 30.0 -> -"]
        assert Connection.objects.get(name="line").credentials["api_key"] == SECRET

    def test_credentials_that_nobody_can_read_are_replaced(self, file: Path) -> None:
        apply(file)
        with database.cursor() as cursor:
            cursor.execute("UPDATE dispatch_connection SET credentials = 'gAAAA' WHERE name = 'twilio'")

        lines = apply(file)

        assert lines == [
            "~ connection twilio",
            "    credentials.account_sid: added",
            "    credentials.auth_token: added",
        ]
        assert Connection.objects.get(name="twilio").credentials["auth_token"] == SECRET

    def test_what_is_not_in_the_file_stays_unless_it_is_pruned(self, file: Path) -> None:
        old = make_connection("old")
        make_route("old", old)
        make_connection("off", enabled=False)
        apply(file)
        assert Connection.objects.get(name="old").enabled

        lines = apply(file, None, "--prune")

        assert lines == [
            "- connection old: disabled, it is not in the file",
            "- route old: disabled, it is not in the file",
        ]
        assert not Connection.objects.get(name="old").enabled
        assert not Route.objects.get(name="old").enabled
        assert apply(file, None, "--prune") == ["nothing to change"]

    def test_a_section_that_is_not_there_is_not_pruned(self, file: Path) -> None:
        apply(file)

        assert apply(file, ROUTES, "--prune") == ["nothing to change"]

    def test_one_error_and_nothing_happens(self, file: Path) -> None:
        with pytest.raises(CommandError) as caught:
            apply(file, CONNECTIONS + "routes: [{name: UK, steps: [{connection: nowhere}]}]")

        assert "nothing was changed" in str(caught.value)
        assert "there is no connection nowhere" in str(caught.value)
        assert not Connection.objects.exists()

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            (CONNECTIONS.replace("provider: twilio", "provider: twillio"), "twilio.provider: twillio is no provider"),
            (CONNECTIONS.replace("provider: twilio", "weight: 1"), "twilio.provider: a connection needs a provider"),
            (CONNECTIONS.replace("AC1", '""'), "twilio.credentials: Connection twilio: the credential 'account_sid'"),
            (CONNECTIONS.replace("https://sms", "ftp://sms"), "line.base_url: Enter a valid URL"),
            (CONNECTIONS.replace("  line:", "  Line 1:"), "connections.Line 1: Lower-case letters"),
            (CONNECTIONS.replace("rate: 30", "rate: 0"), "line.rate: Ensure this value is greater"),
            (CONNECTIONS.replace("rate: 30", "unknown_policy: guess"), "line.unknown_policy: Select a valid choice"),
            (CONNECTIONS.replace("rate: 30", "unknown_policy: ask"), "line.unknown_policy: sendmsg can't be asked"),
            (
                ROUTES.replace(", {connection: line, position: 2}", ""),
                "routes[0] (UK).steps[0].connection: there is no connection twilio",
            ),
            (
                CONNECTIONS + ROUTES.replace("destinations: [GB]", "account: Globex"),
                "routes[0] (UK).account: there is no account Globex",
            ),
            (
                CONNECTIONS.replace("twilio", "vonage").replace(
                    "account_sid: AC1, auth_token", "api_key: k, api_secret"
                )
                + "routes: [{name: W, channel: whatsapp, steps: [{connection: vonage}]}]",
                "routes[0] (W).steps[0]: vonage does not speak whatsapp, only sms",
            ),
        ],
    )
    def test_what_can_not_work_is_told_with_its_place(self, file: Path, text: str, error: str) -> None:
        with pytest.raises(CommandError) as caught:
            apply(file, text)

        assert error in str(caught.value)
        assert SECRET not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 2

    def test_the_provider_of_a_connection_stays(self, file: Path) -> None:
        make_connection("twilio")

        with pytest.raises(CommandError, match="it is sendmsg, and stays"):
            apply(file)

    def test_a_route_may_not_stand_on_what_is_pruned(self, file: Path) -> None:
        make_connection("old")

        with pytest.raises(CommandError, match="old is not in the file and would be switched off"):
            apply(file, CONNECTIONS + "routes: [{name: UK, steps: [{connection: old}]}]", "--prune")

    def test_a_route_of_an_account(self, file: Path, alice: Member) -> None:
        apply(file, CONNECTIONS + ROUTES.replace("destinations: [GB]", "account: Acme"))

        assert Route.objects.get().account == alice.account
        assert apply(file) == ["nothing to change"]

    def test_a_file_that_is_not_there_is_an_error(self) -> None:
        with pytest.raises(CommandError, match="can't be read: No such file"):
            run("apply", "/not/there.yaml")

    def test_standard_input_is_a_file_too(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with file.open() as text:
            monkeypatch.setattr("sys.stdin", text)

            assert run("apply", "-").startswith("+ connection line")


@pytest.mark.django_db(transaction=True)
def test_two_deploys_at_once_take_turns(file: Path) -> None:
    found: list[str] = []

    in_threads(4, lambda number: found.append(run("apply", str(file))))

    assert sorted(lines.startswith("+ connection line") for lines in found) == [False, False, False, True]
    assert found.count("nothing to change\n") == 3
    assert RouteStep.objects.count() == 2
