"""Recording a session at the device: sealed, chained and spooled before anything is sent."""
