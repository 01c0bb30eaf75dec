"""Who of the desk hears of what, and how."""
