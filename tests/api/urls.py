"""A tiny API on top of `sendmsg.api`, so that its parts are tested through HTTP and without messages.

An effect is the creation of an account: its unique name counts how often something was done.
"""

from collections.abc import Callable

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, re_path
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sendmsg.accounts.models import Account
from sendmsg.accounts.scopes import Scope
from sendmsg.api import fallbacks, health, schema
from sendmsg.api.authentication import client_of
from sendmsg.api.idempotency import run_once
from sendmsg.api.paging import PageQuery, paginate
from sendmsg.api.permissions import requires
from sendmsg.api.problems import Problem
from sendmsg.api.serializers import StrictSerializer

SECRET = "+447700900123 and what was written to it"
"""Stands for what an exception may quote and nobody may see."""

RAISED: dict[str, Exception] = {
    "problem": Problem("forbidden", "Not on a Sunday."),
    "not-found": Http404(SECRET),
    "drf-not-found": exceptions.NotFound(SECRET),
    "forbidden": PermissionDenied(SECRET),
    "throttled": exceptions.Throttled(wait=2.5),
    "unauthenticated": exceptions.NotAuthenticated(),
    "database-down": OperationalError(SECRET),
    "database-gone": InterfaceError(SECRET),
    "validation": exceptions.ValidationError(
        {
            "to": [exceptions.ErrorDetail("No.", "number_invalid")],
            "metadata": {"a/b~c": ["Too long."]},
            "list": {"3": ["x"]},
        }
    ),
    "whole": exceptions.ValidationError("These two contradict each other."),
    "django-validation": ValidationError({"name": ValidationError("Taken.", code="unique"), "__all__": ["Never."]}),
    "many": exceptions.ValidationError({str(number): ["No."] for number in range(200)}),
    "bug": RuntimeError(SECRET),
}


class Effect(StrictSerializer):
    name = serializers.CharField(max_length=100, trim_whitespace=False)
    answer = serializers.IntegerField(default=202)
    metadata = serializers.DictField(required=False, child=serializers.CharField())


class Hooks:
    """What a test may do in the middle of a request."""

    inside: Callable[[], None] = staticmethod(lambda: None)


class EffectsView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ, POST=Scope.MESSAGES_WRITE)]

    @extend_schema(
        request=Effect,
        parameters=[schema.IDEMPOTENCY_KEY, schema.IDEMPOTENCY_REPLAYED],
        responses={202: Effect, **schema.problems(*schema.BODY, *schema.IDEMPOTENCY)},
    )
    def post(self, request: Request) -> Response:
        def handle() -> Response:
            effect = Effect(data=request.data)
            effect.is_valid(raise_exception=True)
            account = Account.objects.create(name=effect.validated_data["name"])
            Hooks.inside()
            body = {"id": account.id, "name": account.name, "at": account.created_at}
            return Response(body, effect.validated_data["answer"], headers={"Location": f"/v1/effects/{account.id}"})

        return run_once(request, handle)

    @extend_schema(
        parameters=[PageQuery],
        responses={200: schema.page_of("EffectPage", Effect), **schema.problems(*schema.LIST)},
    )
    def get(self, request: Request) -> Response:
        query = PageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        page = paginate(Account.objects.all(), **query.validated_data)
        return Response(page.document(lambda rows: [{"name": row.name} for row in rows]))


class OtherEffectsView(EffectsView):
    """The same behind another address."""


@extend_schema(exclude=True)
class ClientView(APIView):
    def get(self, request: Request) -> Response:
        client = client_of(request)
        return Response({"account": client.account_id, "mode": client.mode, "scopes": sorted(client.scopes)})


@extend_schema(exclude=True)
class EchoView(APIView):
    permission_classes = ()

    def post(self, request: Request) -> Response:
        return Response(request.data)


@extend_schema(exclude=True)
class RaiseView(APIView):
    permission_classes = ()

    def get(self, request: Request, name: str) -> Response:
        raise RAISED[name]


def broken(request: HttpRequest) -> HttpResponse:
    """A plain Django view with a bug."""
    raise RuntimeError(SECRET)


urlpatterns = [
    path("v1/effects", EffectsView.as_view()),
    path("v1/other-effects", OtherEffectsView.as_view()),
    path("v1/client", ClientView.as_view()),
    path("v1/echo", EchoView.as_view()),
    path("v1/raise/<str:name>", RaiseView.as_view()),
    path("v1/broken", broken),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    re_path(r"^v1(/|$)", fallbacks.unknown_path),
]
handler400 = fallbacks.handler400
handler403 = fallbacks.handler403
handler404 = fallbacks.handler404
handler500 = fallbacks.handler500
