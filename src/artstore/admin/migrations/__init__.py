"""Steps of the database schema, shipped inside the package. `admin.schema` runs them."""
