from django.urls import path

from webhooks.inbound import views

urlpatterns = [
    path("<slug:provider>/<slug:connection>", views.receive, name="webhook"),
    path("<slug:provider>/<slug:connection>/<str:token>", views.receive, name="webhook-token"),
]
