"""Who may use the gateway: accounts, and the API keys they authenticate with."""
