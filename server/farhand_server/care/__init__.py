"""What the desk knows of people beyond their tickets, whom else it asks, and what it erases."""
