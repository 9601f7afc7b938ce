"""How gunicorn serves the web process: `gunicorn -c python:sendmsg.gunicorn sendmsg.wsgi --bind …`.

Threads, because a request waits for Postgres, which lets the others run.
"""

worker_class = "gthread"
threads = 8
keepalive = 75  # seconds; at the default of 2, clients' and providers' kept connections break under their next request
graceful_timeout = 30  # seconds for requests under way when a deploy stops the process
control_socket_disable = True  # nobody uses it, and its default place is shared by all gunicorns of a user
