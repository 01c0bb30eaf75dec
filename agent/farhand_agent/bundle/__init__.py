"""The support bundle: one sealed file about this device, made with no relay and no network."""
