"""The controls of the web process: what Django and DRF cost for the same work without a gateway around it.

    POST /message   a DRF view with a serializer, one INSERT, and one confirmed publish
    POST /receipt   a bare view that appends to a Redis stream

Served by the same server with as many processes and threads.
"""

import json
import os
import threading
from typing import Any
from uuid import uuid4

from django.conf import settings

settings.configure(
    SECRET_KEY="bare",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={},
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # which sets the length of an answer
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
)

import django  # noqa: E402  # Django's parts can't be imported before there are settings

django.setup()

import psycopg2  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from kombu import Connection, Producer  # noqa: E402
from redis import Redis  # noqa: E402
from rest_framework import serializers  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

TABLE = "CREATE TABLE IF NOT EXISTS bare (id uuid PRIMARY KEY, recipient text, body text, sent_at timestamptz)"
QUEUE = "bare"
mine = threading.local()


class Asked(serializers.Serializer[Any]):
    to = serializers.RegexField(r"^\+[0-9]{8,15}$")
    body = serializers.CharField(max_length=1600)


class MessageView(APIView):
    def post(self, request: Request) -> Response:
        asked = Asked(data=request.data)
        asked.is_valid(raise_exception=True)
        database, producer = _resources()
        message_id = str(uuid4())
        with database, database.cursor() as cursor:
            values = (message_id, asked.validated_data["to"], asked.validated_data["body"])
            cursor.execute("INSERT INTO bare (id, recipient, body) VALUES (%s, %s, %s)", values)
        producer.publish({"id": message_id}, routing_key=QUEUE, delivery_mode=2)
        return Response({"id": message_id}, 202)


def receipt(request: HttpRequest) -> HttpResponse:
    if not hasattr(mine, "redis"):
        mine.redis = Redis.from_url(os.environ["REDIS_URL"])
    json.loads(request.body)
    mine.redis.xadd("bare", {"b": request.body})
    return HttpResponse(b"ok")


def _resources() -> tuple[Any, Producer]:
    """A database connection and a producer for each thread, kept."""
    if not hasattr(mine, "database"):
        mine.database = psycopg2.connect(os.environ["DATABASE_URL"])
        broker = Connection(os.environ["BROKER_URL"], transport_options={"confirm_publish": True})
        mine.producer = Producer(broker.default_channel)
    return mine.database, mine.producer


urlpatterns = [path("message", MessageView.as_view()), path("receipt", receipt)]
application = WSGIHandler()
