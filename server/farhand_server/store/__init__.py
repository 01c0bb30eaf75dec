"""The relay's database: schema, migrations, connections."""
