"""The screen of the person at the device, for a technician who may see or use it.

Nothing here is loaded by the resident agent or by the session's process, but for `wire` and `seat`.
"""
