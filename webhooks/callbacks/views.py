"""The webhooks API: a client's own endpoints. Translates between HTTP and `webhooks.callbacks.endpoints`."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sendmsg.accounts.keys import Mode
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import client_of
from sendmsg.api.paging import PageQuery, paginate
from sendmsg.api.permissions import requires
from sendmsg.api.problems import Problem
from sendmsg.api.schema import BODY, IDEMPOTENCY, LIST, page_of, problems
from sendmsg.api.serializers import validated
from webhooks.callbacks import endpoints
from webhooks.callbacks.access import REPEATABLE, find, visible, with_secret
from webhooks.callbacks.models import Endpoint
from webhooks.callbacks.serializers import EndpointChange, EndpointDocument, NewEndpoint, NewEndpointDocument
from webhooks.callbacks.vocabulary import Compression, DisabledReason, EndpointKind, EndpointState


class EndpointsView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_READ, POST=Scope.WEBHOOKS_WRITE)]

    @extend_schema(
        operation_id="create_webhook",
        summary="Add an endpoint that is told what happens",
        parameters=REPEATABLE,
        request=NewEndpoint,
        responses={201: NewEndpointDocument, **problems(*BODY, *IDEMPOTENCY, "too_many_endpoints")},
    )
    def post(self, request: Request) -> Response:
        def handle() -> tuple[Response, str]:
            asked = validated(NewEndpoint(data=request.data))
            client = client_of(request)
            try:
                endpoint, secret = endpoints.create(
                    client.account_id,
                    client.mode is Mode.TEST,
                    asked["url"],
                    asked.get("event_types", []),
                    asked.get("description", ""),
                    compression=asked.get("compression", Compression.NONE),
                )
            except endpoints.TooManyEndpoints:
                raise Problem("too_many_endpoints") from None
            location = reverse("webhook-endpoint", args=[endpoint.id])
            return Response(dict(EndpointDocument(endpoint).data), 201, headers={"Location": location}), secret

        return with_secret(request, handle)

    @extend_schema(
        operation_id="list_webhooks",
        summary="List endpoints, newest first",
        parameters=[PageQuery],
        responses={200: page_of("WebhookList", EndpointDocument), **problems(*LIST)},
    )
    def get(self, request: Request) -> Response:
        asked = validated(PageQuery(data=request.query_params))
        page = paginate(visible(request), cursor=asked.get("cursor"), limit=asked["limit"])
        return Response(page.document(lambda found: [EndpointDocument(row).data for row in found]))


class EndpointView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_READ, PATCH=Scope.WEBHOOKS_WRITE, DELETE=Scope.WEBHOOKS_WRITE)]

    @extend_schema(
        operation_id="get_webhook",
        summary="Get an endpoint",
        responses={200: EndpointDocument, **problems("not_found")},
    )
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        return Response(EndpointDocument(find(request, endpoint_id)).data)

    @extend_schema(
        operation_id="change_webhook",
        summary="Change an endpoint, disable it or enable it again",
        request=EndpointChange,
        responses={200: EndpointDocument, **problems(*BODY, "not_found")},
    )
    def patch(self, request: Request, endpoint_id: UUID) -> Response:
        with transaction.atomic():
            endpoint = find(request, endpoint_id, lock=True)
            wanted = validated(EndpointChange(data=request.data))
            self._change(endpoint, wanted)
        return Response(EndpointDocument(endpoint).data)

    def _change(self, endpoint: Endpoint, wanted: dict[str, Any]) -> None:
        fields = [name for name in ("url", "event_types", "description", "compression") if name in wanted]
        if fields and endpoint.kind == EndpointKind.MESSAGES:
            detail = "Messages name this one: it can be enabled, disabled and deleted."
            raise ValidationError({name: ErrorDetail(detail, "not_changeable") for name in fields})
        for name in fields:
            setattr(endpoint, name, wanted[name])
        endpoint.updated_at = timezone.now()
        endpoint.save(update_fields=[*fields, "updated_at"])
        if wanted.get("enabled") is True:
            endpoints.enable(endpoint)
        elif wanted.get("enabled") is False and endpoint.state == EndpointState.ENABLED:
            endpoints.disable(endpoint, DisabledReason.CLIENT)

    @extend_schema(
        operation_id="delete_webhook",
        summary="Delete an endpoint and what was kept of its callbacks",
        responses={204: None, **problems("not_found")},
    )
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        with transaction.atomic():
            endpoints.delete(find(request, endpoint_id, lock=True))
        return Response(status=204)
