"""Alembic's entry: runs the revisions on the connection that `store.database` hands over.

There is no offline mode and no alembic.ini; `farhand-server migrate` is the only way in.
"""

from __future__ import annotations

from alembic import context

from farhand_server.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
