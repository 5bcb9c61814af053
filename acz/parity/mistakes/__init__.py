"""Further mistakes that the comparison must catch: of several processes, and of low precisions."""
