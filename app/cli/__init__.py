"""`flask --app wsgi db ...` and `flask --app wsgi ops ...`. Each command imports what it needs when it runs."""

from flask import Flask

from app.cli.db import db
from app.cli.ops import ops


def register(app: Flask) -> None:
    app.cli.add_command(db)
    app.cli.add_command(ops)
