"""What can be configured, read off the code: every key with its type, default and meaning; and the same as a JSON schema."""
