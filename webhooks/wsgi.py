"""The WSGI entry point, which `manage.py web` serves: the site behind the door for webhooks."""

from sendmsg.orphans import end_with_parent
from sendmsg.wsgi import application as site  # sets Django up, which what is imported next relies on
from webhooks.door import Door

end_with_parent()
application = Door(site)
