"""One file for each provider; `registry` finds them by name, `base` has the contract."""
