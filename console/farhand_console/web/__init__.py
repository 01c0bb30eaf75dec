"""The web console: a local web application on the technician's own machine."""
