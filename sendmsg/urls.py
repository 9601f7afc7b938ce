"""Every address of the web process."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView

from sendmsg.api import fallbacks, health
from sendmsg.telemetry.views import metrics

urlpatterns = [
    path("v1/", include("dispatch.urls")),
    path("v1/", include("webhooks.api_urls")),
    path("v1/", include("webhooks.callbacks.urls")),
    path("webhooks/", include("webhooks.urls")),
    path("admin/", include("dispatch.admin.urls")),
    path("admin/", admin.site.urls),
    path("docs", SpectacularSwaggerView.as_view(url_name="openapi"), name="docs"),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    re_path(r"^v1(/|$)", fallbacks.unknown_path),
]
handler400 = fallbacks.handler400
handler403 = fallbacks.handler403
handler404 = fallbacks.handler404
handler500 = fallbacks.handler500
