"""The WSGI entry point, which `manage.py web` serves: the site behind the door for webhooks."""

import sys

from sendmsg.orphans import end_with_parent
from sendmsg.wsgi import application as site  # sets Django up, which what is imported next relies on
from webhooks.door import Door

SWITCH = 0.001  # seconds until a thread that computes lets another one go on, and not Python's 0.005

end_with_parent()
# A request waits for Postgres three times or four, and each time for the lock afterwards: behind a list of ten thousand
# recipients, or many others, that adds up. A quarter more is accepted so, and p99 is two thirds.
sys.setswitchinterval(SWITCH)
application = Door(site)
