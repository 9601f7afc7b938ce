"""The Celery application. Queues are declared by `dispatch.topology`, tasks live in `dispatch.tasks`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sendmsg.settings")

app = Celery("sendmsg")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["dispatch"])
