"""`manage.py providers`: what an operator does to connections, and what is kept of it."""

import io
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection as database

from dispatch import breaker
from dispatch.breaker import Observed
from dispatch.models import Connection, ConnectionEvent
from sendmsg import encryption
from sendmsg.logs.archive import keys
from tests.dispatch.commands import providers as run
from tests.factories import make_connection
from tests.faults import FaultServer, answer, json_answer
from tests.outages import redis_away

pytestmark = pytest.mark.django_db

SECRET = "very-secret"


@pytest.mark.usefixtures("clean_redis")
class TestList:
    def test_each_connection_has_its_switches_and_how_it_does(self) -> None:
        make_connection("line", region="eu", rate=30, weight=50)
        make_connection("off", enabled=False)
        run("pause", "off", "--reason", "holidays")
        breaker.record("line", [Observed(False, 0.25, code="connection_refused")] * breaker.LEAST)
        breaker.forget()

        head, *rows = (line.split("  ") for line in run("list").splitlines())

        assert [cell.strip() for cell in head if cell][:4] == ["name", "provider", "region", "enabled"]
        line, off = (" ".join(" ".join(row).split()) for row in rows)
        assert line == "line sendmsg eu yes no open (connection_refused, 5 of 5) 50 x 0.05 30/s 250 ms"
        assert off == "off sendmsg - no yes: holidays closed 100 x 1.00 - -"

    def test_what_is_not_known_is_not_called_well(self) -> None:
        make_connection("line")
        error = io.StringIO()
        output = io.StringIO()

        with redis_away():
            call_command("providers", "list", stdout=output, stderr=error)

        assert "Redis is away" in error.getvalue()
        assert output.getvalue().splitlines()[1].split() == ["line", "sendmsg", "-", "yes", "no", "?", "100", "-", "-"]


class TestByHand:
    def test_a_pause_and_a_resume_are_in_the_history(self) -> None:
        make_connection("line")

        assert run("pause", "line", "--reason", "they have an outage") == "line: paused\n"
        assert run("pause", "line", "--reason", "again") == "line: it was paused before\n"
        assert run("resume", "line", "--reason", "over") == "line: resumed\n"
        assert run("resume", "line") == "line: it was not paused\n"

        events = ConnectionEvent.objects.order_by("id").values_list("change", "reason")
        assert list(events) == [("paused", "they have an outage"), ("resumed", "over")]
        assert all(by.startswith("cli:") for by in ConnectionEvent.objects.values_list("by", flat=True))

    def test_a_weight_is_in_the_history(self) -> None:
        make_connection("line")

        assert run("weigh", "line", "7") == "line: weight 100 -> 7\n"
        assert run("weigh", "line", "7") == "line: it has weight 7\n"

        assert Connection.objects.get().weight == 7
        assert ConnectionEvent.objects.get().reason == "100 to 7"

    def test_a_weight_has_bounds(self) -> None:
        make_connection("line")

        for weight in ("-1", "32768"):
            with pytest.raises(CommandError, match="from 0 to 32767"):
                run("weigh", "line", "--", weight)

    @pytest.mark.parametrize(
        "words", [["pause", "x", "--reason", "y"], ["resume", "x"], ["weigh", "x", "1"], ["check", "x"]]
    )
    def test_a_name_that_is_none_is_told_which_there_are(self, words: list[str]) -> None:
        make_connection("line")

        with pytest.raises(CommandError, match=r'There is no connection "x"\. There are: line\.'):
            run(*words)


class TestCheck:
    TWILIO = {"account_sid": "AC1", "auth_token": SECRET}

    def twilio(self, server: FaultServer, name: str = "twilio") -> Connection:
        return make_connection(name, provider="twilio", base_url=server.url, credentials=self.TWILIO)

    def test_a_provider_that_can_be_asked_proves_the_credentials(self) -> None:
        with FaultServer(answer(404), json_answer(404, {"code": 20404})) as server:
            self.twilio(server)

            output = run("check")

        assert output.startswith("twilio  ok  reached: HTTP 404, credentials taken (")
        reached, asked = server.requests
        assert (reached.method, reached.path, "authorization" in reached.headers) == ("GET", "/", False)
        assert asked.method == "GET"
        assert "00000000-0000-0000-0000-000000000000" in asked.path

    @pytest.mark.parametrize("status", [401, 403])
    def test_credentials_that_are_refused_fail(self, status: int, capsys: Any) -> None:
        with FaultServer(answer(404), answer(status)) as server:
            self.twilio(server)

            with pytest.raises(CommandError, match="1 of 1 failed"):
                call_command("providers", "check")

        assert f"twilio  failed  credentials refused: HTTP {status}" in capsys.readouterr().out

    def test_one_that_is_ill_fails(self, capsys: Any) -> None:
        with FaultServer(answer(404), answer(503)) as server:
            self.twilio(server)

            with pytest.raises(CommandError):
                call_command("providers", "check")

        assert "it can't answer questions now: HTTP 503" in capsys.readouterr().out

    def test_what_can_not_be_asked_is_only_reached(self) -> None:
        with FaultServer(answer(200)) as server:
            make_connection("line", base_url=server.url)

            assert "line  ok  reached: HTTP 200, credentials not tried" in run("check", "line")

    def test_all_that_are_enabled_are_tried_and_each_says_why_it_fails(self, capsys: Any) -> None:
        make_connection("line")
        make_connection("odd", provider="no-such-provider")
        make_connection("keyless", credentials={})
        make_connection("off", enabled=False)
        with FaultServer(answer(200)) as server:
            make_connection("good", base_url=server.url)
            make_connection("keyless", credentials={}, base_url=server.url)

            with pytest.raises(CommandError, match="3 of 4 failed"):
                call_command("providers", "check")

        lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
        assert set(lines) == {"line", "odd", "keyless", "good"}
        assert lines["line"].startswith("failed  not reached: connection_refused")
        assert lines["odd"].startswith("failed  can't work: No provider 'no-such-provider'")
        assert lines["keyless"].startswith("failed  can't work: Connection keyless: the credential 'api_key'")


@pytest.mark.django_db(databases=["default", "logs"])
class TestReencrypting:
    def test_what_the_old_key_wrote_is_read_by_the_new_one_alone(
        self, settings: Any, request: pytest.FixtureRequest
    ) -> None:
        request.addfinalizer(encryption._fernet.cache_clear)
        for number in range(3):
            make_connection(f"line-{number}", credentials={"api_key": str(number)})
        old, new = settings.CREDENTIALS_KEYS[0], Fernet.generate_key().decode()
        settings.CREDENTIALS_KEYS = [new, old]
        encryption._fernet.cache_clear()

        text = keys.fingerprint("text")  # in the logs database, by a key that is stored encrypted

        assert run("reencrypt") == "encrypted anew: 5\n"  # and the key of texts

        settings.CREDENTIALS_KEYS = [new]
        encryption._fernet.cache_clear()
        assert [row.credentials["api_key"] for row in Connection.objects.order_by("name")] == ["0", "1", "2"]
        assert keys.fingerprint("text") == text

    def test_one_that_no_key_reads_is_told_and_the_others_are_done(self, capsys: Any) -> None:
        make_connection("good")
        bad = make_connection("bad")
        with database.cursor() as cursor:
            cursor.execute("UPDATE dispatch_connection SET credentials = 'gAAAA' WHERE name = 'bad'")

        with pytest.raises(CommandError, match=f"reads: connection {bad.pk}. Enter them anew"):
            call_command("providers", "reencrypt")

        assert capsys.readouterr().out == "encrypted anew: 2\n"  # the key of texts is the other
