"""Renewing the secrets that callbacks are signed with."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sendmsg.accounts.keys import Mode
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import client_of
from sendmsg.api.permissions import requires
from sendmsg.api.schema import IDEMPOTENCY, problems
from webhooks.callbacks import endpoints
from webhooks.callbacks.access import REPEATABLE, find, with_secret
from webhooks.callbacks.serializers import SecretDocument


class RotateView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_WRITE)]

    @extend_schema(
        operation_id="rotate_webhook_secret",
        summary="Give an endpoint a new secret; the old one signs for 24 hours more",
        parameters=REPEATABLE,
        request=None,
        responses={200: SecretDocument, **problems(*IDEMPOTENCY, "not_found")},
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        def handle() -> tuple[Response, str]:
            return Response({}), endpoints.rotate(find(request, endpoint_id, lock=True), timezone.now())

        return with_secret(request, handle)


class MessageSecretView(APIView):
    permission_classes = [requires(Scope.WEBHOOKS_WRITE)]

    @extend_schema(
        operation_id="rotate_callback_secret",
        summary="Make a new secret for the `callback_url` of messages; the old one signs for 24 hours more",
        parameters=REPEATABLE,
        request=None,
        responses={200: SecretDocument, **problems(*IDEMPOTENCY)},
    )
    def post(self, request: Request) -> Response:
        def handle() -> tuple[Response, str]:
            client = client_of(request)
            test = client.mode is Mode.TEST
            return Response({}), endpoints.rotate_message_secret(client.account_id, test, timezone.now())

        return with_secret(request, handle)
