"""The relay's websockets: device links, pipes, and the meeting of two sides over a code."""
