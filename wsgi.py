"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi ...`."""

import sys

from app.factory import create_app
from app.settings import BadSetting

try:
    app = create_app()
except BadSetting as bad:
    print(bad, file=sys.stderr)
    # 4 is what gunicorn takes for "the application cannot be loaded": it stops, and does not start workers for ever.
    sys.exit(4)
