"""Which sessions are loaded, and which of them may run."""
