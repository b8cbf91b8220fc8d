"""Alembic's entry. `admin.schema` hands over an open connection and holds the lock."""

from alembic import context

from artstore.admin.tables import ALL_METADATA, SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=ALL_METADATA,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
    include_schemas=True,
)

with context.begin_transaction():
    context.run_migrations()
