"""Celery's failures can be read in the admin, and nothing more."""

import pytest
from django.test import Client
from django_celery_results.models import TaskResult

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


def test_failures_are_listed_and_cannot_be_changed(admin_client: Client) -> None:
    failure = TaskResult.objects.create(task_id="task-1", task_name="dispatch.deliver", status="FAILURE")
    base = "/admin/django_celery_results/taskresult/"

    assert "task-1" in admin_client.get(base).text
    assert admin_client.get(f"{base}{failure.pk}/change/").status_code == 200
    assert admin_client.post(f"{base}{failure.pk}/change/", {"status": "SUCCESS"}).status_code == 403
    assert admin_client.get(f"{base}add/").status_code == 403


def test_groups_are_not_shown(admin_client: Client) -> None:
    assert admin_client.get("/admin/django_celery_results/groupresult/").status_code == 404
