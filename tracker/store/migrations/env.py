"""Runs the migrations on the connection that the caller gave, in the caller's transaction."""

from __future__ import annotations

from alembic import context

from tracker.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
