"""The foreign model that is to be replaced: what may leave, what was asked, what came back, and packs of replies."""
