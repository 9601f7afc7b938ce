"""`/metrics` of the web process."""

from django.http import HttpRequest, HttpResponse

from sendmsg.telemetry import exposition


def metrics(request: HttpRequest) -> HttpResponse:
    if not exposition.permits(request.headers.get("Authorization", "")):
        return HttpResponse(exposition.UNAUTHORIZED, status=401, content_type="text/plain")
    return HttpResponse(exposition.text(), content_type=exposition.CONTENT_TYPE)
