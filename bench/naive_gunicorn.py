"""gunicorn as one finds it: its own gevent worker, one process."""

import os

bind = os.environ["BIND"]
worker_class = "gevent"
workers = 1
control_socket_disable = True
