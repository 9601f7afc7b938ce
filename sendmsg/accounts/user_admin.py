"""Users and their roles in the admin. Only a superuser makes superusers, or touches one."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from sendmsg.admin import Audited, ReadOnly

if TYPE_CHECKING:
    _UserAdmin = UserAdmin[User]
else:
    _UserAdmin = UserAdmin

admin.site.unregister([Group, User])


@admin.register(Group)
class RoleAdmin(ReadOnly, GroupAdmin):
    """What the roles may do is written in `sendmsg.accounts.roles`."""


@admin.register(User)
class StaffAdmin(Audited, _UserAdmin):
    list_display = ("username", "role", "is_active", "is_superuser", "last_login")
    list_filter = ("groups", "is_active", "is_superuser")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("What the user may do", {"fields": ("is_active", "is_staff", "groups", "is_superuser")}),
        ("Who", {"fields": ("first_name", "last_name", "email")}),
        ("Times (UTC)", {"fields": ("last_login", "date_joined")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Whoever could tick it would be one."""
        own = ("last_login", "date_joined")
        return own if request.user.is_superuser else (*own, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        protected = obj is not None and obj.is_superuser and not request.user.is_superuser
        return super().has_change_permission(request, obj) and not protected

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Never: a user who left is made inactive, and what they did keeps its name."""
        return False

    @admin.display(description="roles")
    def role(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or "-"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")
