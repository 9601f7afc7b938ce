"""What our adapters send is what the providers' own SDKs send, and what we take for their answers those can read.

Each SDK and our adapter send one text, with a sender and a receipt URL, to the same recording server. Requests are
compared by what they mean: method, path, credentials, and the fields of the body, whatever their order and spacing.
Meta has no SDK for Python, and our own protocol has none.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from dispatch.providers import registry
from dispatch.providers.base import Accepted, ConnectionConfig, Outbound
from tests.dispatch.providers.case import BODY, TO, message
from tests.faults import FaultServer, Received, json_answer
from tests.fixtures import payload

RECEIPTS = "https://gateway.example/webhooks/x/main"
NUMBER = "+447700900001"
ONE, TIMED = message(sender=NUMBER), message(sender=NUMBER, valid_for=600.0)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what the SDKs still use is not for us to mend


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    for name in ("NO_PROXY", "no_proxy"):  # the SDKs heed the environment
        monkeypatch.setenv(name, "127.0.0.1")
    with FaultServer() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Meant:
    """A request without what carries no meaning."""

    method: str
    path: str
    authorization: str
    content: Mapping[str, Any]


def meant(request: Received) -> Meant:
    form = request.headers["content-type"].startswith("application/x-www-form-urlencoded")
    content = dict(parse_qsl(request.body.decode(), strict_parsing=True)) if form else request.json()
    return Meant(request.method, request.path, request.headers["authorization"], content)


def ours(
    server: FaultServer, slug: str, credentials: Mapping[str, str], one: Outbound = ONE, *, prefix: str = ""
) -> Meant:
    """What our adapter sends, once it has taken the answer of the provider."""
    config = ConnectionConfig("main", server.url + prefix, credentials, RECEIPTS, 1, 5.0, 5.0, 5.0)
    adapter = registry.get(slug)(config)
    [outcome] = adapter.send([one])
    adapter.close()
    assert isinstance(outcome, Accepted)
    return meant(server.requests[-1])


def theirs(server: FaultServer, status: int, answer: object, send: Callable[[], object]) -> tuple[Meant, Any]:
    """What the SDK sends, and what it makes of the answer."""
    server.play(json_answer(status, answer))
    result = send()
    return meant(server.requests[-1]), result


def test_twilio(server: FaultServer) -> None:
    from twilio.rest import Client

    account, token = "AC" + "0" * 32, "9c1f0b7e"
    client = Client(account, token)
    client.api.base_url = server.url
    sent, result = theirs(
        server,
        201,
        payload("twilio/accepted"),
        lambda: client.messages.create(to=TO, from_=NUMBER, body=BODY, status_callback=RECEIPTS, validity_period=600),
    )

    assert ours(server, "twilio", {"account_sid": account, "auth_token": token}, TIMED) == sent
    assert result.sid == payload("twilio/accepted")["sid"]


def test_twilio_lists_what_we_ask_for(server: FaultServer) -> None:
    from twilio.rest import Client

    account, token = "AC" + "0" * 32, "9c1f0b7e"
    server.play(json_answer(200, {"messages": [payload("twilio/accepted")], "next_page_uri": None}))
    client = Client(account, token)
    client.api.base_url = server.url
    [listed] = client.messages.list(to=TO, page_size=200)
    adapter = registry.get("twilio")(
        ConnectionConfig("main", server.url, {"account_sid": account, "auth_token": token}, None, 1, 5.0, 5.0, 5.0)
    )
    adapter.find(ONE, listed.date_created)

    sdk, own = server.requests
    assert urlsplit(own.path).path == urlsplit(sdk.path).path
    assert parse_qsl(urlsplit(own.path).query) == parse_qsl(urlsplit(sdk.path).query)
    assert own.headers["authorization"] == sdk.headers["authorization"]


def test_telnyx(server: FaultServer) -> None:
    from telnyx import Telnyx

    with Telnyx(api_key="KEY0123", base_url=f"{server.url}/v2", max_retries=0) as client:
        sent, result = theirs(
            server,
            200,
            payload("telnyx/accepted"),
            lambda: client.messages.send(to=TO, from_=NUMBER, text=BODY, webhook_url=RECEIPTS),
        )

    assert ours(server, "telnyx", {"api_key": "KEY0123"}, prefix="/v2") == sent
    assert result.data.id == payload("telnyx/accepted")["data"]["id"]


def test_vonage(server: FaultServer) -> None:
    from requests.adapters import HTTPAdapter
    from vonage_http_client import Auth, HttpClient
    from vonage_sms import Sms, SmsMessage

    class ToServer(HTTPAdapter):
        """The SDK knows https only."""

        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            request.url = server.url + urlsplit(request.url).path
            return super().send(request, *args, **kwargs)

    client = HttpClient(Auth(api_key="abcd1234", api_secret="Secret0123"))
    client._session.mount("https://", ToServer())
    wanted = SmsMessage(
        to=TO.removeprefix("+"),
        from_=NUMBER.removeprefix("+"),
        text=BODY,
        type="text",
        callback=RECEIPTS,
        client_ref=str(ONE.message_id),
    )
    sent, result = theirs(server, 200, payload("vonage/accepted"), lambda: Sms(client).send(wanted))

    assert ours(server, "vonage", {"api_key": "abcd1234", "api_secret": "Secret0123"}) == sent
    assert result.messages[0].message_id == payload("vonage/accepted")["messages"][0]["message-id"]


def test_infobip(server: FaultServer) -> None:
    import infobip_api_client as infobip
    from infobip_api_client.api.sms_api import SmsApi

    def send() -> Any:
        wanted = infobip.SmsMessage(
            sender=NUMBER.removeprefix("+"),
            destinations=[infobip.SmsDestination(to=TO.removeprefix("+"), message_id=str(ONE.message_id))],
            content=infobip.SmsMessageContent(infobip.SmsTextContent(text=BODY)),
            webhooks=infobip.SmsWebhooks(
                delivery=infobip.SmsMessageDeliveryReporting(url=RECEIPTS), content_type="application/json"
            ),
        )
        with infobip.ApiClient(infobip.Configuration(host=server.url, api_key="3f9c0d1e")) as client:
            return SmsApi(client).send_sms_messages(infobip.SmsRequest(messages=[wanted]))

    answer = {"messages": [{**payload("infobip/accepted"), "messageId": str(ONE.message_id)}]}
    sent, result = theirs(server, 200, answer, send)

    assert ours(server, "infobip", {"api_key": "3f9c0d1e"}) == sent
    assert result.messages[0].message_id == str(ONE.message_id)


def test_sinch(server: FaultServer) -> None:
    from sinch import SinchClient

    client = SinchClient(service_plan_id="f6a0d9b7", sms_api_token="9c1f0b7e", sms_region="eu")
    client.configuration.sms_domain_with_service_plan_id = server.url
    sent, result = theirs(
        server,
        201,
        payload("sinch/accepted"),
        lambda: client.sms.batches.send_sms(
            to=[TO],
            from_=NUMBER,
            body=BODY,
            delivery_report="per_recipient",
            event_destination_target=RECEIPTS,
            client_reference=str(ONE.message_id),
        ),
    )

    assert ours(server, "sinch", {"service_plan_id": "f6a0d9b7", "api_token": "9c1f0b7e"}) == sent
    assert result.id == payload("sinch/accepted")["id"]


def test_plivo(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import plivo

    monkeypatch.setattr("plivo.rest.client.PLIVO_API_BASE_URI", f"{server.url}/v1/Account")
    account, token = "MA" + "0" * 18, "9c1f0b7e"
    client = plivo.RestClient(account, token)
    sent, result = theirs(
        server,
        202,
        payload("plivo/accepted"),
        lambda: client.messages.create(
            src=NUMBER.removeprefix("+"), dst=TO.removeprefix("+"), text=BODY, type_="sms", url=RECEIPTS, method="POST"
        ),
    )

    mine = ours(server, "plivo", {"auth_id": account, "auth_token": token})
    defaults = {"log": "true", "trackable": False}  # which the SDK spells out
    assert replace(mine, content={**mine.content, **defaults}) == sent
    assert result.message_uuid == payload("plivo/accepted")["message_uuid"]


def test_aws(server: FaultServer) -> None:
    import botocore.session

    keys = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI"}
    client = botocore.session.get_session().create_client(
        "pinpoint-sms-voice-v2",
        region_name="eu-west-1",
        endpoint_url=server.url,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
    )
    sent, result = theirs(
        server,
        200,
        payload("aws/accepted"),
        lambda: client.send_text_message(
            DestinationPhoneNumber=TO,
            OriginationIdentity=NUMBER,
            MessageBody=BODY,
            TimeToLive=600,
            Context={"message_id": str(TIMED.message_id)},
        ),
    )
    mine = ours(server, "aws", {**keys, "region": "eu-west-1"}, TIMED)

    sdk, own = server.requests
    assert (mine.method, mine.path, mine.content) == (sent.method, sent.path, sent.content)
    for header in ("content-type", "x-amz-target"):
        assert own.headers[header] == sdk.headers[header]
    # The key, the day, the region and the service; the signatures differ, as the order of the fields does.
    assert mine.authorization.split("/")[:4] == sent.authorization.split("/")[:4]
    assert result["MessageId"] == payload("aws/accepted")["MessageId"]


@pytest.mark.parametrize("name", ["accepted", "opted_out", "invalid_sender"])
def test_our_aws_fixtures_fit_the_model_of_the_service(name: str) -> None:
    import botocore.session

    operation = (
        botocore.session.get_session().get_service_model("pinpoint-sms-voice-v2").operation_model("SendTextMessage")
    )
    content = payload(f"aws/{name}")
    exception = content.pop("__type", "#").rpartition("#")[2]
    shapes = {shape.name: shape for shape in operation.error_shapes}
    shape = shapes[exception] if exception else operation.output_shape

    assert set(content) <= set(shape.members)
    for member, value in content.items():
        assert not getattr(shape.members[member], "enum", None) or value in shape.members[member].enum


def test_every_aws_error_of_the_operation_has_a_row() -> None:
    """And the rows name no reason that the service does not have."""
    import botocore.session

    from dispatch.providers import aws

    model = botocore.session.get_session().get_service_model("pinpoint-sms-voice-v2")
    operation = model.operation_model("SendTextMessage")
    exceptions = {shape.name for shape in operation.error_shapes}
    reasons = {
        reason
        for shape in operation.error_shapes
        for name in ("Reason", "ResourceType")
        if name in shape.members
        for reason in shape.members[name].enum
    }

    assert exceptions <= set(aws._ROWS)
    common = {*aws._KEYS, *aws._SIGNATURE, "OptInRequired"}
    assert set(aws._ROWS) <= exceptions | reasons | set(operation.input_shape.members) | common
