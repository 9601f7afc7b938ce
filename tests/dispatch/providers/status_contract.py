"""What an adapter must do that can ask its provider what became of a message: its suite inherits `StatusContract`."""

import logging
from collections.abc import Mapping
from typing import ClassVar

import pytest

from dispatch.providers.base import Report
from dispatch.vocabulary import ReceiptStatus
from sendmsg.errors import NotSent, OutcomeUnknown
from tests.dispatch.providers.case import assert_clean, message
from tests.dispatch.providers.contract import ProviderContract
from tests.faults import Fault, FaultServer, answer, hang, html, json_answer, refused_url, truncated


class StatusContract(ProviderContract):
    words: ClassVar[Mapping[str, str]]  # the provider's word → ours, as the adapter has it

    def report(self, word: object, error_code: str | None = None) -> Fault:
        """The provider's answer to the question."""
        raise NotImplementedError

    def status_path(self, reference: str) -> str:
        """Where the question goes; `reference` as it is written in a URL."""
        raise NotImplementedError

    def ask(self, server: FaultServer, fault: Fault, reference: str = "id-1", **config: object) -> Report | None:
        server.play(fault)
        adapter = self.adapter(server.url, **config)
        try:
            return adapter.fetch_status(reference)
        finally:
            adapter.close()

    def test_its_capabilities_say_that_it_can_be_asked(self) -> None:
        assert self.provider.capabilities.fetches_status

    def test_each_word_becomes_ours(self, server: FaultServer) -> None:
        assert set(self.words.values()) <= set(ReceiptStatus.values)
        for word, ours in self.words.items():
            assert self.ask(server, self.report(word)) == Report(ours), word

    def test_a_word_without_a_meaning_is_unknown(self, server: FaultServer) -> None:
        assert self.ask(server, self.report("teleported")) == Report(ReceiptStatus.UNKNOWN)

    def test_the_question_names_the_message_and_who_asks(self, server: FaultServer) -> None:
        self.ask(server, self.report("sent"), "id-1")

        (request,) = server.requests
        assert (request.method, request.path, request.body) == ("GET", self.status_path("id-1"), b"")
        assert request.headers["authorization"]

    def test_a_reference_stays_one_segment_of_the_path(self, server: FaultServer) -> None:
        self.ask(server, self.report("sent"), "../calls?x#y")

        assert server.requests[0].path == self.status_path("..%2Fcalls%3Fx%23y")

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500, 503])
    def test_a_refused_question_leaves_it_open(self, server: FaultServer, status: int) -> None:
        assert self.ask(server, answer(status)) is None

    def test_an_answer_of_another_shape_leaves_it_open(self, server: FaultServer) -> None:
        for fault in (html(200), json_answer(200, []), json_answer(200, {}), self.report(7), self.report(None)):
            assert self.ask(server, fault) is None

    def test_questions_use_the_connection_of_the_messages(self, server: FaultServer) -> None:
        server.play(self.accept, self.report("sent"))
        adapter = self.adapter(server.url)
        adapter.send([message()])
        adapter.fetch_status("id-1")

        assert server.connections == 1

    @pytest.mark.parametrize("fault", [hang, html(500), answer(401), truncated(200, b'{"')])
    def test_a_question_leaks_no_secret(
        self, server: FaultServer, fault: Fault, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        told = ""
        try:
            self.ask(server, fault, read_timeout=0.1)
        except OutcomeUnknown as error:
            told = f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"

        assert_clean(self.credentials, told, caplog.text)

    def test_a_question_that_got_no_answer_is_raised(self, server: FaultServer) -> None:
        with pytest.raises(NotSent):
            self.adapter(refused_url()).fetch_status("id-1")
        with pytest.raises(OutcomeUnknown):
            self.ask(server, hang, read_timeout=0.1)
