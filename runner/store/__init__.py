"""What was worked out once: results of stages and decoded images, each under the digest of all that it depends on."""
