from django.urls import path

from webhooks.callbacks import delivery_views, secret_views, views

urlpatterns = [
    path("webhooks", views.EndpointsView.as_view(), name="webhook-endpoints"),
    path("webhooks/secret", secret_views.MessageSecretView.as_view(), name="webhook-message-secret"),
    path("webhooks/<uuid:endpoint_id>", views.EndpointView.as_view(), name="webhook-endpoint"),
    path("webhooks/<uuid:endpoint_id>/rotate", secret_views.RotateView.as_view(), name="webhook-rotate"),
    path("webhooks/<uuid:endpoint_id>/test", delivery_views.TestView.as_view(), name="webhook-test"),
    path("webhooks/<uuid:endpoint_id>/replay", delivery_views.ReplayView.as_view(), name="webhook-replay"),
    path("webhooks/<uuid:endpoint_id>/deliveries", delivery_views.DeliveriesView.as_view(), name="webhook-deliveries"),
    path(
        "webhooks/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/replay",
        delivery_views.ReplayOneView.as_view(),
        name="webhook-delivery-replay",
    ),
]
