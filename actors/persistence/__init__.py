"""What becomes durable, when, and who is told."""
