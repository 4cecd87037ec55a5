"""Alembic's entry: runs on the connection that `node.store.database` hands over."""

from alembic import context
from sqlmodel import SQLModel

from contracts.bindings import journal  # noqa: F401  (fills SQLModel.metadata)
from node.store import tables  # noqa: F401

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
