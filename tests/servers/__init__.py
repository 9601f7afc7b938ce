"""The real servers that the tests stand on, and how they are obtained where none is given."""
