"""How long things are kept, and how they leave (docs/retention.md): by age, or because a person asked."""
