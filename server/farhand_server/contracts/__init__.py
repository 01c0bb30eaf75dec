"""What a customer has agreed on: hours, rates, what happens past them, and what was used."""
