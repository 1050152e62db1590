"""Both files of the configuration: read, checked, and turned into frozen dataclasses. The home of YAML."""
