"""Rules of the desk: what happens by itself when something happens on a ticket."""
