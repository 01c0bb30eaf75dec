"""Installing the agent: a service of the system with a user of its own, and taking it away."""
