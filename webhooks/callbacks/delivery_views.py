"""What became of an endpoint's callbacks, sending them again, and sending one to see it arrive."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sendmsg.accounts.scopes import Scope
from sendmsg.api.idempotency import run_once
from sendmsg.api.paging import paginate
from sendmsg.api.permissions import requires
from sendmsg.api.problems import Problem
from sendmsg.api.schema import BODY, IDEMPOTENCY, LIST, page_of, problems
from sendmsg.api.serializers import validated
from sendmsg.ids import first_id
from webhooks.callbacks import outbox, replays
from webhooks.callbacks.access import REPEATABLE, find
from webhooks.callbacks.models import Callback
from webhooks.callbacks.serializers import DeliveryDocument, DeliveryQuery, ReplayDocument, ReplayRequest
from webhooks.callbacks.vocabulary import CallbackState, EndpointKind, EndpointState


class DeliveriesView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_READ)]

    @extend_schema(
        operation_id="list_webhook_deliveries",
        summary="List an endpoint's callbacks, newest first",
        parameters=[DeliveryQuery],
        responses={200: page_of("DeliveryList", DeliveryDocument), **problems(*LIST, "not_found")},
    )
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        asked = validated(DeliveryQuery(data=request.query_params))
        rows = Callback.objects.filter(endpoint=find(request, endpoint_id))
        rows = rows.filter(**{name: asked[name] for name in ("state", "message_id") if name in asked})
        if "created_after" in asked:
            rows = rows.filter(id__gte=first_id(asked["created_after"]))
        page = paginate(rows, cursor=asked.get("cursor"), limit=asked["limit"])
        return Response(page.document(lambda found: [DeliveryDocument(row).data for row in found]))


class ReplayOneView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_WRITE)]

    @extend_schema(
        operation_id="replay_webhook_delivery",
        summary="Send a callback again, with all of its tries",
        parameters=REPEATABLE,
        request=None,
        responses={202: DeliveryDocument, **problems(*IDEMPOTENCY, "not_found", "endpoint_disabled")},
    )
    def post(self, request: Request, endpoint_id: UUID, delivery_id: UUID) -> Response:
        def handle() -> Response:
            callback = Callback.objects.filter(endpoint=find(request, endpoint_id), pk=delivery_id).first()
            if callback is None:
                raise Problem("not_found")
            try:
                replays.replay(callback)
            except replays.Disabled:
                raise Problem("endpoint_disabled") from None
            return Response(dict(DeliveryDocument(callback).data), 202)

        return run_once(request, handle)


class ReplayView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_WRITE)]

    @extend_schema(
        operation_id="replay_webhook",
        summary="Send an endpoint's callbacks since a time again",
        parameters=REPEATABLE,
        request=ReplayRequest,
        responses={202: ReplayDocument, **problems(*BODY, *IDEMPOTENCY, "not_found", "endpoint_disabled")},
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        def handle() -> Response:
            endpoint = find(request, endpoint_id)
            asked = validated(ReplayRequest(data=request.data))
            try:
                found = replays.replay_since(endpoint, asked["since"], CallbackState(asked["state"]))
            except replays.Disabled:
                raise Problem("endpoint_disabled") from None
            document = ReplayDocument({"replayed": found.count, "next_since": found.next_since})
            return Response(dict(document.data), 202)

        return run_once(request, handle)


class TestView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_WRITE)]

    @extend_schema(
        operation_id="test_webhook",
        summary="Send an endpoint a `webhook.test`",
        parameters=REPEATABLE,
        request=None,
        responses={202: DeliveryDocument, **problems(*IDEMPOTENCY, "not_found", "endpoint_disabled")},
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        def handle() -> Response:
            endpoint = find(request, endpoint_id)
            if endpoint.state != EndpointState.ENABLED:
                raise Problem("endpoint_disabled")
            if endpoint.kind == EndpointKind.MESSAGES:
                raise Problem("endpoint_of_messages")
            return Response(dict(DeliveryDocument(outbox.test(endpoint)).data), 202)

        return run_once(request, handle)
