"""What every adapter must do, whatever its wire format: one suite, inherited by `test_<provider>.py`.

A subclass is named `Test…`, sets `provider` and `credentials`, and tells how its provider answers. `test_registry`
fails for a registered adapter without one.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dispatch.providers.base import Accepted, NumberFormat, Rejected, Retry, Unavailable, Unknown
from sendmsg.errors import ConfigurationError
from sendmsg.http import MAX_RETRY_AFTER
from tests.dispatch.providers.case import TO, assert_clean, http_date, message
from tests.dispatch.providers.network_contract import NetworkContract
from tests.faults import FaultServer, answer


class ProviderContract(NetworkContract):
    # What is accepted and refused.

    def test_an_accepted_message_has_the_providers_id(self, server: FaultServer) -> None:
        one = message()

        assert self.adapter(server.url).send([one]) == [Accepted((self.id_of(one),))]

    def test_the_text_arrives_as_it_is(self, server: FaultServer) -> None:
        text = 'É€😀\u00a0"quoted" \\ + & % \n{{name}} ﷽'
        self.adapter(server.url).send([message(body=text)])

        assert self.text(server.requests[0]) == text

    def test_the_recipient_is_written_as_the_provider_wants_it(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message()])

        told = server.requests[0].body.decode().replace("%2B", "+")
        assert TO.removeprefix("+") in told
        assert (TO in told) == (self.provider.capabilities.number_format is NumberFormat.E164)

    def test_the_provider_is_told_a_validity_within_its_range(self, server: FaultServer) -> None:
        able = self.provider.capabilities.validity
        least, most = able or (0, 0)
        for given, told in ((None, None), (600.9, 600), (0.0, least), (1e9, most)):
            self.adapter(server.url).send([message(valid_for=given)])
            assert self.validity(server.requests[-1]) == (told if able else None)

    def test_a_validity_that_it_cant_be_told_changes_nothing(self, server: FaultServer) -> None:
        if self.provider.capabilities.validity is not None:
            return
        one = message()
        self.adapter(server.url).send([one])
        self.adapter(server.url).send([replace(one, valid_for=600.0)])

        assert server.requests[0].body == server.requests[1].body

    def test_a_repeat_carries_the_same_id(self, server: FaultServer) -> None:
        if not self.carries_ids:
            assert not self.provider.capabilities.deduplicates
            return
        one = message()
        adapter = self.adapter(server.url)
        adapter.send([one])
        adapter.send([one])

        assert [self.message_ids(request) for request in server.requests] == [[str(one.message_id)]] * 2

    def test_each_permanent_error_is_rejected_under_its_code(self, server: FaultServer) -> None:
        for code, fault in self.rejections.items():
            outcome = self.outcome(server, fault)

            assert isinstance(outcome, Rejected), code
            assert outcome.code == code

    def test_refused_credentials_are_not_the_messages_fault(self, server: FaultServer) -> None:
        for fault in self.unauthorized:
            outcome = self.outcome(server, fault)

            assert isinstance(outcome, Unavailable)
            assert outcome.code == "unauthorized"

    def test_a_provider_that_took_nothing_is_unavailable(self, server: FaultServer) -> None:
        for fault in self.unavailable:
            assert isinstance(self.outcome(server, fault), Unavailable)

    def test_an_error_that_leaves_it_open_is_unknown(self, server: FaultServer) -> None:
        for fault in self.doubtful:
            assert isinstance(self.outcome(server, fault), Unknown)

    # Throttling.

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("30", 30.0), ("0", 0.0), ("99999999", MAX_RETRY_AFTER), ("soon", None), ("", None)],
    )
    def test_throttled_with_seconds(self, server: FaultServer, value: str, seconds: float | None) -> None:
        outcome = self.outcome(server, self.throttle({"Retry-After": value}))

        assert isinstance(outcome, Retry)
        assert (outcome.code, outcome.after) == ("throttled", seconds)

    @pytest.mark.parametrize(("ahead", "seconds"), [(30, 30.0), (-30, 0.0), (999_999, MAX_RETRY_AFTER)])
    def test_throttled_with_a_date(self, server: FaultServer, ahead: float, seconds: float) -> None:
        headers = {"Retry-After": http_date(ahead), "Date": http_date(0)}
        outcome = self.outcome(server, self.throttle(headers))

        assert isinstance(outcome, Retry)
        assert outcome.after == pytest.approx(seconds, abs=1.0)

    def test_throttled_without_a_time(self, server: FaultServer) -> None:
        outcome = self.outcome(server, self.throttle({}))

        assert isinstance(outcome, Retry)
        assert outcome.after is None

    def test_throttling_ends_the_batch(self, server: FaultServer) -> None:
        server.play(self.throttle({"Retry-After": "30"}))
        outcomes = self.adapter(server.url).send([message() for _ in range(5)])

        assert [getattr(outcome, "after", None) for outcome in outcomes] == [30.0] * 5
        assert len(server.requests) == 1

    # Many messages.

    def test_twenty_messages_use_one_connection(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url)
        for _ in range(10):
            adapter.send([message(), message()])

        assert server.connections == 1

    def test_refusals_end_no_connection(self, server: FaultServer) -> None:
        refusals = [*self.rejections.values(), *self.unauthorized, self.throttle({}), answer(503)]
        server.play(*refusals, self.accept)
        adapter = self.adapter(server.url)
        outcomes = [adapter.send([message()])[0] for _ in (*refusals, "and then")]

        assert [isinstance(outcome, Accepted) for outcome in outcomes] == [*[False] * len(refusals), True]
        assert server.connections == 1

    def test_a_batch_keeps_its_order(self, server: FaultServer) -> None:
        batch = [message(to=f"+4477009001{index:02}") for index in range(20)]
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes == [Accepted((self.id_of(one),)) for one in batch]

    def test_one_refused_message_leaves_the_others_alone(self, server: FaultServer) -> None:
        server.play(self.accept, next(iter(self.rejections.values())), self.accept)
        outcomes = self.adapter(server.url).send([message(body=f"Text {index}.") for index in range(3)])

        assert [type(outcome) for outcome in outcomes] == [Accepted, Rejected, Accepted]

    def test_an_empty_batch_calls_nobody(self, server: FaultServer) -> None:
        assert self.adapter(server.url).send([]) == []
        assert server.requests == []

    def test_threads_may_share_an_adapter(self, server: FaultServer) -> None:
        batch = [message() for _ in range(60)]
        adapter = self.adapter(server.url, concurrency=3)
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(lambda one: adapter.send([one])[0], batch))

        assert outcomes == [Accepted((self.id_of(one),)) for one in batch]
        assert server.connections <= 3

    # Configuration.

    def test_missing_credentials_are_a_configuration_error(self) -> None:
        for missing in self.credentials:
            rest = {name: value for name, value in self.credentials.items() if name != missing}
            with pytest.raises(ConfigurationError, match=missing) as caught:
                self.adapter("http://127.0.0.1", credentials=rest)
            assert_clean(self.credentials, str(caught.value))

    @pytest.mark.parametrize("value", ["", " \n", "a\r\nX: y", "clé", 5, None])
    def test_malformed_credentials_are_a_configuration_error(self, value: Any) -> None:
        for name in self.credentials:
            with pytest.raises(ConfigurationError, match=name):
                self.adapter("http://127.0.0.1", credentials={**self.credentials, name: value})

    @pytest.mark.parametrize("url", ["", "provider.example", "ftp://provider.example"])
    def test_a_base_url_that_is_none_is_a_configuration_error(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="main"):
            self.adapter(url)

    def test_a_slash_at_the_end_of_the_base_url_changes_nothing(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message()])
        self.adapter(f"{server.url}/").send([message()])

        assert server.requests[0].path == server.requests[1].path

    def test_closing_twice_is_no_error(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url)
        adapter.send([message()])
        adapter.close()
        adapter.close()

    def test_its_capabilities_are_declared(self) -> None:
        capabilities = self.provider.capabilities

        assert capabilities.channels
        assert capabilities.channels <= {"sms", "whatsapp"}
        assert capabilities.batch_size >= 1
        assert capabilities.senders
        assert capabilities.remembers_for > 0
        assert capabilities.pair_interval >= 0
        assert capabilities.max_body is None or capabilities.max_body >= 1_600
        least, most = capabilities.validity or (1, 1)
        assert 0 < least <= most

    def test_what_its_capabilities_lack_is_not_there(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url)
        if not adapter.capabilities.fetches_status:
            with pytest.raises(NotImplementedError):
                adapter.fetch_status("id-1")
        if not adapter.capabilities.finds:
            with pytest.raises(NotImplementedError):
                adapter.find(message(), datetime.now(UTC))
