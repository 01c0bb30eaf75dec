"""An assistant that answers from articles and does nothing else; see `assistant.answers`."""
