"""What every endpoint of the HTTP API shares: errors, authentication, strict JSON, paging, idempotency."""
