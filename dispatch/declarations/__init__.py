"""Connections and routes as a file declares them: read, checked, compared with what there is, and applied."""
