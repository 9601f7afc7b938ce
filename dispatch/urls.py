from django.urls import path

from dispatch import views

urlpatterns = [
    path("messages", views.MessagesView.as_view(), name="messages"),
    path("messages/<uuid:message_id>", views.MessageView.as_view(), name="message"),
    path("messages/<uuid:message_id>/events", views.EventsView.as_view(), name="message-events"),
    path("messages/<uuid:message_id>/cancel", views.CancelView.as_view(), name="message-cancel"),
]
