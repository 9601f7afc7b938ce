"""Scopes as DRF permissions."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import Client
from sendmsg.api.problems import Problem


def requires(scope: Scope, **methods: Scope) -> type[BasePermission]:
    """A permission class for clients that hold `scope`; a method named in `methods` needs that scope instead.

    `permission_classes = [requires(Scope.MESSAGES_READ, POST=Scope.MESSAGES_WRITE)]`. Without a key the
    answer is 401, without the scope 403 `scope_missing`, which names it.
    """

    class Requires(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            if not isinstance(request.user, Client):
                return False
            needed = methods.get(request.method or "", scope)
            if needed not in request.user.scopes:
                raise Problem("scope_missing", f"This API key lacks the scope {needed.value}.")
            return True

    return Requires
