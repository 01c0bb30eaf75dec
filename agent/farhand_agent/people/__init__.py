"""What the resident agent does for the people of its computer who are not its own user."""
