"""Real servers on loopback, and proxies that misbehave in front of them."""
