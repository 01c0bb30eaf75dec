"""Looks at other machines from this one: names, certificates, pages, mail, ping, printers."""
