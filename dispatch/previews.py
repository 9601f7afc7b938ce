"""The wire form of `POST /v1/messages?dry_run=true`: by what a message would leave now, and why."""

from typing import Any

from rest_framework import serializers

from dispatch.vocabulary import Channel
from sendmsg.api.serializers import StrictSerializer


class DryRunQuery(StrictSerializer):
    """The query parameters of `POST /v1/messages`."""

    dry_run = serializers.ChoiceField(
        ["true", "false"],
        default="false",
        help_text="true: send nothing; check the message, and say by what it would leave now (200).",
    )


class OptionDocument(serializers.Serializer[Any]):
    """A connection that the message could leave by. The first tier with one that stands is used, by weight."""

    connection = serializers.CharField()
    provider = serializers.CharField()
    channel = serializers.ChoiceField(Channel.choices)
    tier = serializers.IntegerField()
    weight = serializers.IntegerField()
    factor = serializers.FloatField(help_text="0 to 1: what its speed and its failures leave of its weight.")
    share = serializers.FloatField(help_text="0 to 1: how likely the message leaves by it.")
    obstacle = serializers.CharField(allow_blank=True, help_text="Why it is out now; empty while it stands.")
    chosen = serializers.BooleanField()


class SkippedDocument(serializers.Serializer[Any]):
    """A route that comes earlier and does not fit."""

    route = serializers.CharField()
    because = serializers.CharField()


class PreviewDocument(serializers.Serializer[Any]):
    """What would happen to the message if it were released now."""

    route = serializers.CharField(allow_null=True, help_text="The route that fits; null: all connections, by weight.")
    connection = serializers.CharField(allow_null=True, help_text="The likeliest; null: it would wait.")
    provider = serializers.CharField(allow_null=True)
    channel = serializers.ChoiceField(Channel.choices, help_text="The one that it would leave by.")
    reason = serializers.CharField()
    segments = serializers.IntegerField()
    encoding = serializers.ChoiceField(["gsm7", "ucs2", "utf8"])
    options = OptionDocument(many=True)
    skipped = SkippedDocument(many=True)
