"""How well the desk does: figures computed from what happened, satisfaction, monthly reports."""
