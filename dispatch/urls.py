from django.urls import path

from dispatch import dead_letter_views, suppression_views, views
from dispatch.bulk import batch_views, broadcast_views

urlpatterns = [
    path("messages", views.MessagesView.as_view(), name="messages"),
    path("messages/batch", batch_views.BatchView.as_view(), name="message-batch"),
    path("messages/<uuid:message_id>", views.MessageView.as_view(), name="message"),
    path("messages/<uuid:message_id>/events", views.EventsView.as_view(), name="message-events"),
    path("messages/<uuid:message_id>/cancel", views.CancelView.as_view(), name="message-cancel"),
    path("broadcasts", broadcast_views.BroadcastsView.as_view(), name="broadcasts"),
    path("broadcasts/<uuid:broadcast_id>", broadcast_views.BroadcastView.as_view(), name="broadcast"),
    path("broadcasts/<uuid:broadcast_id>/pause", broadcast_views.PauseView.as_view(), name="broadcast-pause"),
    path("broadcasts/<uuid:broadcast_id>/resume", broadcast_views.ResumeView.as_view(), name="broadcast-resume"),
    path(
        "broadcasts/<uuid:broadcast_id>/cancel", broadcast_views.CancelBroadcastView.as_view(), name="broadcast-cancel"
    ),
    path("dead-letters", dead_letter_views.DeadLettersView.as_view(), name="dead-letters"),
    path("dead-letters/<uuid:letter_id>/replay", dead_letter_views.ReplayView.as_view(), name="dead-letter-replay"),
    path("suppressions", suppression_views.SuppressionsView.as_view(), name="suppressions"),
    path("suppressions/<uuid:suppression_id>", suppression_views.SuppressionView.as_view(), name="suppression"),
]
