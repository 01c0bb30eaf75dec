"""What goes out of the relay: written as rows first, sent by one loop of each node."""
