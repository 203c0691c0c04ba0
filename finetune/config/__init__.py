"""How a run is configured: the schema, its YAML files, how they are composed and checked."""
