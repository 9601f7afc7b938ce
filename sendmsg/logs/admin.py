"""Celery's failures in the admin: to be read, never edited. Groups are not used here, so they are not shown."""

from typing import Any

from django.contrib import admin
from django_celery_results.models import GroupResult, TaskResult

from sendmsg.admin import BigTableAdmin, ReadOnly

admin.site.unregister([GroupResult, TaskResult])


@admin.register(TaskResult)
class TaskFailureAdmin(ReadOnly, BigTableAdmin):
    list_display = ("task_id", "task_name", "status", "date_done", "worker")
    fields = ("task_id", "task_name", "status", "date_done", "worker", "result", "traceback")
    ordering = ("-id",)

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).defer("traceback", "meta")
