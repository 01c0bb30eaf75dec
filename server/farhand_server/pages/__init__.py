"""The relay's pages for people who ask for help: plain HTML, no scripts, five languages."""
