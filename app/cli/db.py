"""`flask db`: the schema. Needs Postgres only."""

import click
from flask import current_app
from flask.cli import AppGroup

from app.settings import Settings
from app.stores import schema


class _Schema(AppGroup):
    """Says in one sentence what the database said, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except schema.SchemaError as error:
            raise click.ClickException(str(error).strip()) from error


db = _Schema("db", help="The schema of Postgres.")


def _settings() -> Settings:
    settings: Settings = current_app.extensions["holdfast.settings"]
    return settings


@db.command()
def migrate() -> None:
    """Apply what is missing, then load all functions."""
    settings = _settings()
    schema.migrate(settings.database_url, settings.shards)
    click.echo("The schema is up to date.")


@db.command()
@click.option("--steps", default=1, show_default=True, type=click.IntRange(min=1), help="How many migrations.")
def rollback(steps: int) -> None:
    """Take the latest migrations back."""
    schema.rollback(_settings().database_url, steps)
    click.echo(f"{steps} taken back.")


@db.command()
def status() -> None:
    """List the migrations and whether each is applied."""
    for name, applied in schema.status(_settings().database_url):
        click.echo(f"{'applied' if applied else 'pending'}  {name}")


@db.command()
def functions() -> None:
    """Load all functions of sql/functions again."""
    click.echo(f"{schema.load_functions(_settings().database_url)} functions loaded.")
