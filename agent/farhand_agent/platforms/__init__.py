"""What the operating system gives: its name, external commands, small files, mounts."""
