"""What an adapter must do that can ask its provider for a message without its id: its suite inherits `FindContract`."""

import logging
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from dispatch.providers.base import Found, Missing, Outbound
from sendmsg.errors import NotSent, OutcomeUnknown
from tests.dispatch.providers.case import TO, assert_clean, message
from tests.dispatch.providers.contract import ProviderContract
from tests.faults import Fault, FaultServer, answer, hang, html, json_answer, refused_url, truncated

AGO = timedelta(minutes=30)  # long enough for every list to have settled, and within what every one goes back


class FindContract(ProviderContract):
    def listing(self, *messages: Outbound, at: datetime) -> Fault:
        """The provider's answer to the question, when it took these messages at that moment, and no others."""
        raise NotImplementedError

    def asked_for(self, query: dict[str, list[str]]) -> str:
        """What a question names, by its query: a message id or a recipient."""
        raise NotImplementedError

    def named(self, one: Outbound) -> str:
        """What a question for this message should name."""
        return str(one.message_id)

    def find(
        self, server: FaultServer, fault: Fault, one: Outbound, since: datetime | None = None, **config: object
    ) -> Found | Missing | None:
        server.play(fault)
        adapter = self.adapter(server.url, **config)
        try:
            return adapter.find(one, since or datetime.now(UTC) - AGO)
        finally:
            adapter.close()

    def test_its_capabilities_say_that_it_finds(self) -> None:
        assert self.provider.capabilities.finds

    def test_a_message_that_it_has_is_found_by_the_id_of_its_receipts(self, server: FaultServer) -> None:
        one, since = message(), datetime.now(UTC) - AGO

        assert self.find(server, self.listing(one, at=since), one, since) == Found((self.id_of(one),))

    def test_a_message_that_it_just_took_is_found_too(self, server: FaultServer) -> None:
        one, now = message(), datetime.now(UTC)

        assert self.find(server, self.listing(one, at=now), one, now) == Found((self.id_of(one),))

    def test_a_message_that_it_has_not_is_missing(self, server: FaultServer) -> None:
        one, since = message(), datetime.now(UTC) - AGO

        assert self.find(server, self.listing(at=since), one, since) == Missing()

    def test_a_list_proves_nothing_before_it_has_settled(self, server: FaultServer) -> None:
        one, now = message(), datetime.now(UTC)

        for since in (now, now - timedelta(seconds=60), now + timedelta(hours=1)):
            assert self.find(server, self.listing(at=since), one, since) is None

    def test_a_question_is_a_get_that_names_the_message_and_who_asks(self, server: FaultServer) -> None:
        one, since = message(), datetime.now(UTC) - AGO
        self.find(server, self.listing(one, at=since), one, since)

        (request,) = server.requests
        assert (request.method, request.body) == ("GET", b"")
        assert self.asked_for(parse_qs(urlsplit(request.path).query)) == self.named(one)
        assert request.headers["authorization"]

    @pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404, 429, 500, 503])
    def test_a_refused_question_leaves_it_open(self, server: FaultServer, status: int) -> None:
        assert self.find(server, answer(status), message()) is None
        assert self.find(server, json_answer(status, {"results": [], "batches": [], "count": 0}), message()) is None

    @pytest.mark.parametrize("key", ["results", "batches", "messages"])
    @pytest.mark.parametrize("listed", [None, {}, 0, "", [None], ["x"], [{}], [[]]], ids=repr)
    def test_a_list_of_another_shape_leaves_it_open(self, server: FaultServer, key: str, listed: object) -> None:
        content = {key: listed, "count": 1, "next_page_uri": None}

        assert self.find(server, json_answer(200, content), message()) is None

    def test_an_answer_of_another_shape_leaves_it_open(self, server: FaultServer) -> None:
        for fault in (html(200), json_answer(200, []), json_answer(200, {}), json_answer(200, None)):
            assert self.find(server, fault, message()) is None

    @pytest.mark.parametrize("fault", [hang, html(500), answer(401, TO.encode()), truncated(200, TO.encode())])
    def test_a_question_for_a_message_leaks_nothing(
        self, server: FaultServer, fault: Fault, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        told = ""
        try:
            self.find(server, fault, message(), read_timeout=0.1)
        except OutcomeUnknown as error:
            told = f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"

        assert_clean(self.credentials, told, caplog.text)

    def test_a_question_for_a_message_that_got_no_answer_is_raised(self, server: FaultServer) -> None:
        with pytest.raises(NotSent):
            self.adapter(refused_url()).find(message(), datetime.now(UTC) - AGO)
        with pytest.raises(OutcomeUnknown):
            self.find(server, hang, message(), read_timeout=0.1)
