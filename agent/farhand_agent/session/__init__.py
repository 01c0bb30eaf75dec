"""The session process: one consented session, from the code that is shown to the receipt."""
