"""Alembic's way in: migrate the connection that `store.migration` hands over."""

from alembic import context

from lamplighter.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
