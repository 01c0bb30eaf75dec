"""What the device does by itself: checks and inventory on the schedules of its policy."""
