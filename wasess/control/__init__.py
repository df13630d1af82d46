"""ASKS: one HTTP API on a unix socket in the home, between the running manager and every command (and, later, the dashboard)."""
