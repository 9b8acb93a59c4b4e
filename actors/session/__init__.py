"""One chat session: its conversation, its unfinished turn, and the actor that owns them."""
