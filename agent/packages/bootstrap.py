"""What runs first in the single file: unpacks the agent into the cache, then becomes it.

    cache      /var/cache/farhand-agent for root, else $XDG_CACHE_HOME or ~/.cache, farhand-agent/
    there      BUILD/ with the whole tree, put in place in one step, owner-only from the outside

A cache that another user owns or may write to is not used.  Works with the standard library alone.
"""

import os
import stat
import sys
import tempfile
import zipfile
import zlib


def complain(code, words, hint=""):
    """Say what is wrong as the agent would, and end."""
    sys.stderr.write(f"farhand-agent: error: {code}: {words}\n")
    if hint:
        sys.stderr.write(f"farhand-agent: hint: {hint}\n")
    sys.exit(1)


def cache_folder():
    """Return the folder for unpacked builds, made and checked."""
    if os.geteuid() == 0:
        folder = "/var/cache/farhand-agent"
    else:
        above = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        folder = os.path.join(above, "farhand-agent")
    folder = os.environ.get("FARHAND_CACHE") or folder
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        state = os.lstat(folder)
    except OSError as error:
        complain("cache-unusable", f"{folder}: {error.strerror}", "set FARHAND_CACHE")
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
        complain("cache-unusable", f"{folder} is not a folder of this user alone")
    return folder


def unpack(archive, tree):
    """Put the tree into place in one step; whoever else does so meanwhile has made the same."""
    arriving = tempfile.mkdtemp(prefix=".arriving-", dir=os.path.dirname(tree))
    place = os.path.join(arriving, "tree")
    os.mkdir(place, 0o755)
    for entry in archive.infolist():
        if not entry.filename.startswith("tree/"):
            continue
        path = os.path.join(place, *entry.filename.split("/")[1:])
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "wb") as file:
            file.write(archive.read(entry))
        os.chmod(path, (entry.external_attr >> 16) & 0o777)
    interpreter = os.path.realpath(sys.executable)
    os.symlink(interpreter, os.path.join(place, "bin", "python3"))
    with open(os.path.join(place, "pyvenv.cfg"), "w") as file:
        file.write(
            f"home = {os.path.dirname(interpreter)}\n"
            f"include-system-site-packages = false\nversion = {here()}\n"
        )
    try:
        os.rename(place, tree)
    except OSError:
        if not os.path.exists(os.path.join(tree, "BUILD")):
            raise
    for folder, _, names in os.walk(arriving, topdown=False):
        for name in names:
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def main():
    """Unpack where that was not done, then become the agent."""
    own = os.path.abspath(os.path.dirname(__file__))
    with zipfile.ZipFile(own) as archive:
        build = archive.read("tree/BUILD").decode("ascii").strip()
        python = next(
            name.split("/")[2] for name in archive.namelist() if name.startswith("tree/lib/python")
        )
        if python != f"python{here()}":
            complain(
                "python-version",
                f"this file was built for {python}, and this is {here()}",
                f"start it with that: {python} {own}",
            )
        # The interpreter is part of the name: one that was replaced has a tree of its own.
        mark = f"{build[:16]}-{hash_of(os.path.realpath(sys.executable)):x}"
        tree = os.path.join(cache_folder(), mark)
        if not os.path.exists(os.path.join(tree, "BUILD")):
            try:
                unpack(archive, tree)
            except OSError as error:
                complain("cache-unusable", f"{tree}: {error.strerror}", "set FARHAND_CACHE")
    interpreter = os.path.join(tree, "bin", "python3")
    os.execv(interpreter, [interpreter, "-P", "-m", "farhand_agent", *sys.argv[1:]])  # noqa: S606


def here():
    """Return the version of this Python as its libraries are told apart by."""
    return ".".join(map(str, sys.version_info[:2]))


def hash_of(text):
    """Return a short number of a path; only to tell paths apart."""
    return zlib.crc32(os.fsencode(text))


if __name__ == "__main__":
    main()
