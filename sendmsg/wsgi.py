"""The WSGI entry point: `gunicorn sendmsg.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sendmsg.settings")

application = get_wsgi_application()
