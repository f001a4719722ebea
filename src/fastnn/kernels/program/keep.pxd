"""The class of programs over layers' own arrays."""
