"""What the desk knows: articles, the search in them, and questions that people ask in public."""
