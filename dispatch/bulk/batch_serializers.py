"""The wire form of a batch: many messages in one request, each with a result of its own."""

from typing import Any, Final

from rest_framework import serializers

from dispatch.serializers import NewMessage
from sendmsg.api.schema import FieldErrorDocument
from sendmsg.api.serializers import StrictSerializer

MAX_MESSAGES: Final = 1000  # of one batch: a second or two, for whoever waits for the answer


class Unjudged(serializers.ListSerializer[Any]):
    """A list whose length is checked here, and whose items are left to be judged one by one."""

    max_length: int

    def to_internal_value(self, data: Any) -> Any:
        if not data:
            raise serializers.ValidationError("At least one is needed.", "empty")
        if len(data) > self.max_length:
            raise serializers.ValidationError(f"At most {self.max_length}.", "max_length")
        return data


class NewBatch(StrictSerializer):
    """The body of `POST /v1/messages/batch`."""

    messages = Unjudged(child=NewMessage(), max_length=MAX_MESSAGES, help_text="At most 1,000.")
    all_or_nothing = serializers.BooleanField(default=False, help_text="Accept none unless all can be accepted.")


class BatchResult(serializers.Serializer[Any]):
    """What became of one message of a batch."""

    status = serializers.ChoiceField(["accepted", "rejected"])
    id = serializers.UUIDField(required=False, help_text="Of the message, if it was accepted.")
    errors = FieldErrorDocument(many=True, required=False, help_text="Why it was rejected.")  # type: ignore[assignment]  # DRF moves it out of the class


class BatchDocument(serializers.Serializer[Any]):
    """What became of a batch; `results` are in the order of its messages."""

    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = BatchResult(many=True)
