"""How answers are scored, one file a kind. Pure functions of gold and answer texts; no verdict is taken here."""
