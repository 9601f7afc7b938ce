"""`python -m sendmsg.sandbox`: see `sendmsg.sandbox.server`."""

import sys

from sendmsg.sandbox.server import main

sys.exit(main(sys.argv[1:]))
