"""The site as a WSGI application; what is served is `webhooks.wsgi`, where it stands behind the door for webhooks."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sendmsg.settings")

application = get_wsgi_application()
