from django.urls import path

from webhooks.inbound.api import InboundView

urlpatterns = [path("inbound", InboundView.as_view(), name="inbound")]
